//! Programs of others, as they are: a terminal's WebSocket client, the examples, and one that tries everything that the API says
//! of itself.

use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::process::Command;

use crate::support::{Bot, Engine, PASSWORD, Program, Socket, TestApp, Tool, Visitor, eventually, on_both, programs};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn python(script: &str) -> Command {
    let mut command = Command::new(programs("python").join("python"));
    command.arg(example(script));
    command
}

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

    async fn the_bash_example_does_what_it_says(app: TestApp) {
        app.sign_up("ada").await;
        let mut command = Command::new(example("chat.sh"));
        command.args([&format!("http://{}", app.address()), "bob@example.org", "bob", PASSWORD]);
        let output = command.output().await.expect("bash runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines, [
            "I am bob.",
            "general: Everything that has no room of its own (2 members, 0 unread)",
            "help: Questions, and people who know (0 members, 0 unread)",
            "random: Whatever crosses your mind (0 members, 0 unread)",
            "It is event 2 of random.",
            "It is event 2 of random.",
            "bob: Hello from a script",
            "The token is worth nothing now: 401",
        ]);
    }

    async fn the_python_examples_listen_and_answer(app: TestApp) {
        let mut app = app;
        let (ada, bob) = (app.sign_up("ada").await, app.register("bob").await);
        let server = format!("http://{}", app.address());
        let mut command = python("listen.py");
        command.args([&server, "general"]).env("SNUG_TOKEN", bob.token());
        let mut listener = Tool::run(command);
        listener.prints("# listening to general as bob").await;
        let dicebot = || {
            let mut command = python("bot.py");
            command.args([&server, "dicebot", "general"]).env("SNUG_PASSWORD", PASSWORD);
            Tool::run(command)
        };
        let mut bot = dicebot();
        bot.prints("# dicebot is in general").await;
        ada.post("general", "!roll").await;
        assert_eq!(listener.prints("ada: ").await, "ada: !roll");
        assert!(listener.prints("dicebot: ").await.starts_with("dicebot: ada rolls a "));
        drop(bot);
        dicebot().prints("# dicebot is in general").await;
        // A server that goes and comes back at the same address: what was said meanwhile is printed, once.
        let address = app.address();
        app.set(|settings| settings.addr = address);
        ada.post("general", "before").await;
        app.restart().await;
        ada.post("general", "after").await;
        assert_eq!(listener.prints(": ").await, "ada: before");
        assert_eq!(listener.prints(": ").await, "ada: after");
        bob.act("/api/auth/logout").await;
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
    // The same by a browser, whose forms may be posted to the wrong place, or be malformed.
    let address = std::sync::Arc::new(std::sync::RwLock::new(program.address()));
    let bob = Visitor::new(Visitor::client(), address, None).sign_up("bob").await;
    let session = bob.session().unwrap();
    let typed = [
        ("name", "bob"),
        ("username", "bob"),
        ("email", "x"),
        ("password", wrong),
        ("current", wrong),
        ("new", PASSWORD),
        ("text", text),
    ];
    for action in ["log_in", "sign_up", "change_password", "post_message", "no_such_action"] {
        bob.post_form(action, &typed).await;
        bob.post_json(action, &typed).await;
    }
    bob.get(&format!("/room/general?q={session}&token={}", bot.token())).await;
    bob.post("general", text).await;
    let mut socket = bob.live().await;
    socket.say("general", text).await;
    socket.send_text(&format!("{{\"type\":\"send\",\"room\":\"general\",\"text\":\"{text}\"}}")).await;
    socket.error().await;
    bob.ask::<()>("change_password", &[("current", PASSWORD), ("new", "a louder harbour at dawn")]).await.unwrap();
    socket.close().await;
    bot.act("/api/auth/logout").await;
    assert_eq!(bot.get("/api/me").await.status, 401);
    let asked = || async { program.said().contains("answered 401").then(|| program.said()) };
    let said = eventually("the last request is in the log", asked).await;
    assert!(said.contains("/ws/help"), "the log tells of the sockets:\n{said}");
    let signature = bot.token().rsplit('.').next().unwrap();
    for secret in
        [bot.token(), signature, &ticket, &session, "abcdefghijklmnop", PASSWORD, wrong, "a louder harbour at dawn", text]
    {
        assert!(!said.contains(secret), "the log has {secret}:\n{said}");
    }
}
