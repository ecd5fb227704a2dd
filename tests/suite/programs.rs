//! Programs of others, as they are: a terminal's WebSocket client, and one that tries everything that the API says
//! of itself.

use std::path::Path;

use serde_json::json;
use tokio::process::Command;

use crate::support::{Bot, Engine, PASSWORD, Program, Socket, TestApp, Tool, eventually, on_both, programs};

/// `schemathesis run` on the API with a token: what it reports, unless it found nothing.
async fn tried(bot: &Bot, which: [&str; 2]) -> Result<(), String> {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.toml");
    let mut command = Command::new(programs("python").join("schemathesis"));
    command.arg("--config-file").arg(config).arg("run").arg(format!("http://{}/api/openapi.json", bot.address()));
    // Its findings are the same for the same code: what is new in a run is in the code.
    command.args(["--seed", "1", "--generation-database", "none", "--no-color", "--header"]);
    command.arg(format!("Authorization: Bearer {}", bot.token())).args(which).current_dir(std::env::temp_dir());
    let output = command.output().await.expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said) }
}

on_both! {
    async fn nothing_is_found_by_trying_what_the_api_says_of_itself(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.command_rate = 1_000_000;
            settings.rooms_per_user = 100_000;
        }).await;
        let bot = app.register("ada").await;
        if let Err(found) = tried(&bot, ["--exclude-path", "/api/auth/logout"]).await {
            panic!("{found}");
        }
        assert_eq!(bot.get("/api/me").await.status, 200);
        // By itself, as it is the token's end.
        if let Err(found) = tried(&bot, ["--include-path", "/api/auth/logout"]).await {
            panic!("{found}");
        }
        assert_eq!(bot.get("/api/me").await.status, 401);
    }

    async fn wscat_chats(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        let wscat = || Command::new(programs("wscat").join("wscat"));
        let mut command = wscat();
        command.args(["--no-color", "--connect", &format!("ws://{}/ws?room=tea&token={}", app.address(), ada.token())]);
        let mut terminal = Tool::run(command);
        terminal.prints("\"type\":\"welcome\"").await;
        bob.join("tea").await;
        terminal.prints("\"type\":\"joined\"").await;
        bob.post("tea", "good morning").await;
        terminal.prints("\"text\":\"good morning\"").await;
        terminal.type_in("and to you").await;
        terminal.prints("\"text\":\"and to you\"").await;
        let log = bob.page("tea").await.events;
        assert!(format!("{log:?}").contains("and to you"), "{log:?}");
        // With a header, and into general.
        let mut command = wscat();
        command.args(["--no-color", "--header", &format!("Authorization: Bearer {}", ada.token())]);
        command.args(["--connect", &format!("ws://{}/ws", app.address())]);
        let mut terminal = Tool::run(command);
        terminal.prints("\"type\":\"welcome\"").await;
        terminal.type_in("hi all").await;
        terminal.prints("\"text\":\"hi all\"").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log() {
    let data = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_snug"));
    // All that it can be made to say in earnest.
    command.args(["serve", "--addr", "127.0.0.1:0", "--data"]).arg(data.path()).env("RUST_LOG", "debug");
    let program = Program::run(command);
    let bot = Bot::at(program.address()).register("ada").await;
    let wrong = "a wrong password, typed by mistake";
    bot.post("/api/auth/login", json!({ "name": "ada", "password": wrong })).await;
    let (ticket, text) = (bot.ticket().await, "what only the room should know");
    bot.say("general", text).await;
    for path in
        [format!("/ws?token={}", bot.token()), format!("/ws/help?ticket={ticket}"), "/ws?ticket=abcdefghijklmnop".to_owned()]
    {
        if let Ok(mut socket) = Socket::connect(program.address(), &path, &[]).await {
            socket.send_text(text).await;
            socket.message(text).await;
        }
    }
    bot.socket("/ws").await.unwrap().close().await;
    bot.get(&format!("/api/me?token={}", bot.token())).await;
    bot.act("/api/auth/logout").await;
    assert_eq!(bot.get("/api/me").await.status, 401);
    let asked = || async { program.said().contains("answered 401").then(|| program.said()) };
    let said = eventually("the last request is in the log", asked).await;
    assert!(said.contains("/ws/help"), "the log tells of the sockets:\n{said}");
    let signature = bot.token().rsplit('.').next().unwrap();
    for secret in [bot.token(), signature, &ticket, "abcdefghijklmnop", PASSWORD, wrong, text] {
        assert!(!said.contains(secret), "the log has {secret}:\n{said}");
    }
}
