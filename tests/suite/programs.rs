//! Programs of others, as they are: one that tries everything that the API says of itself.

use std::path::Path;

use tokio::process::Command;

use crate::support::{Bot, Engine, TestApp, on_both, programs};

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
}
