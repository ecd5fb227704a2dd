//! Tokens and tickets: what they open, and what ends them. Each is tried on HTTP and on the socket.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use snug::protocol::api::Token;
use snug::protocol::{LoginItem, Me};

use crate::support::{Bot, Closed, Engine, PASSWORD, Socket, TestApp, on_both};

/// The close code that says: log in again.
const LOG_IN_AGAIN: Closed = Closed(Some(4401));

/// Within how long an ended login is cut off: a second, and one more for a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(2);

const KEY: &str = "a key for tests: it is long enough";

/// What `GET /api/me` and the socket, by header and by address, answer to a token.
async fn answers(bot: &Bot, token: &str) -> [u16; 3] {
    let bot = bot.with(token);
    let status = |socket: Result<Socket, u16>| socket.err().unwrap_or(101);
    let by_address = Socket::connect(bot.address(), &format!("/ws?token={token}"), &[]).await;
    [bot.get("/api/me").await.status, status(bot.socket("/ws").await), status(by_address)]
}

const GOOD: [u16; 3] = [200, 101, 101];
const BAD: [u16; 3] = [401; 3];

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token that says this, signed with `key`.
fn forge(key: &str, header: &Value, claims: &Value) -> String {
    let said = format!("{}.{}", part(header), part(claims));
    let mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap().chain_update(&said).finalize().into_bytes();
    format!("{said}.{}", URL_SAFE_NO_PAD.encode(mac))
}

fn claims(token: &str) -> Value {
    let said = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(said).unwrap()).unwrap()
}

fn seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

on_both! {
    async fn a_token_says_who_one_is_for_a_day(app: TestApp) {
        let bot = app.bot();
        let new = json!({ "email": "ada@example.org", "username": "ada", "password": PASSWORD });
        let reply = bot.post("/api/auth/register", new).await;
        let token: Token = reply.json();
        assert_eq!((reply.status, token.me.person.user.as_str(), token.me.admin), (201, "ada", true));
        let says = claims(&token.token);
        assert_eq!(says["sub"], token.me.id.to_string());
        assert_eq!(says["aud"], "snug");
        assert_eq!(says["exp"].as_i64().unwrap() * 1_000_000, token.expires_at.0);
        let lasts = says["exp"].as_i64().unwrap() - says["iat"].as_i64().unwrap();
        assert!((24 * 3600 - 1..=24 * 3600).contains(&lasts), "{lasts} s");
        assert_eq!(answers(&bot, &token.token).await, GOOD);
        let again = bot.log_in("ADA@example.org").await;
        assert_eq!(again.get("/api/me").await.json::<Me>(), token.me);
        assert_ne!(again.token(), token.token, "each token is a login of its own");
    }

    async fn a_token_that_is_not_ours_opens_nothing(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.token_key = Some(KEY.to_owned().into())).await;
        let bot = app.register("ada").await;
        let eve = app.register("eve").await;
        let header = json!({ "alg": "HS256", "typ": "JWT" });
        let says = claims(bot.token());
        let with = |name: &str, value: Value| {
            let mut says = says.clone();
            says[name] = value;
            says
        };
        assert_eq!(answers(&bot, &forge(KEY, &header, &says)).await, GOOD, "the test forges as the server signs");
        let none = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&says));
        let (signed, signature) = bot.token().rsplit_once('.').unwrap();
        let mut without_exp = says.clone();
        without_exp.as_object_mut().unwrap().remove("exp");
        for (what, token) in [
            ("no algorithm", none.clone()),
            ("no algorithm, but a signature", format!("{none}{signature}")),
            ("no algorithm, signed", forge(KEY, &json!({ "alg": "none" }), &says)),
            ("another algorithm", forge(KEY, &json!({ "alg": "HS384" }), &says)),
            ("another kind of algorithm", forge(KEY, &json!({ "alg": "RS256" }), &says)),
            ("another key", forge("another key for tests: it is long enough", &header, &says)),
            ("another audience", forge(KEY, &header, &with("aud", json!("other")))),
            ("no audience", forge(KEY, &header, &with("aud", json!(null)))),
            ("over", forge(KEY, &header, &with("exp", json!(seconds() - 1)))),
            ("without an end", forge(KEY, &header, &without_exp)),
            ("another login", forge(KEY, &header, &with("sid", json!(crate::support::new_id())))),
            ("another person's login", forge(KEY, &header, &with("sid", claims(eve.token())["sid"].clone()))),
            ("no signature", format!("{signed}.")),
            ("half a signature", format!("{signed}.{}", &signature[..20])),
            ("what it says was changed", format!("{}.{}.{signature}", signed.split('.').next().unwrap(), part(&with("sub", claims(eve.token())["sub"].clone())))),
            ("nothing", String::new()),
            ("not a token", "abc".to_owned()),
        ] {
            assert_eq!(answers(&bot, &token).await, BAD, "{what}");
        }
        assert_eq!(bot.request(reqwest::Method::GET, "/api/me", &[], None).await.status, 200);
        let reply = app.bot().get("/api/me").await;
        assert_eq!((reply.status, reply.problem().as_str(), reply.header("www-authenticate")), (401, "log_in", "Bearer"));
    }

    async fn logging_out_ends_the_token_and_its_sockets(app: TestApp) {
        let bot = app.register("ada").await;
        let other = app.bot().log_in("ada").await;
        let (mut socket, mut others) = (bot.socket("/ws").await.unwrap(), other.socket("/ws").await.unwrap());
        others.hello().await;
        assert_eq!(bot.act("/api/auth/logout").await.status, 204);
        assert_eq!(socket.closed_within(SOON).await, LOG_IN_AGAIN);
        assert_eq!(answers(&bot, bot.token()).await, BAD);
        assert_eq!(answers(&bot, other.token()).await, GOOD, "the others stay");
        others.say("general", "still there").await;
    }

    async fn a_token_is_a_login_in_the_list_and_ends_with_it(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let bot = app.bot().log_in("ada").await;
        let mut socket = bot.socket("/ws").await.unwrap();
        let logins: Vec<LoginItem> = ada.ask("list_logins", &[]).await.unwrap();
        let theirs = logins.iter().find(|login| !login.current).expect("the token's login is in the list");
        assert_eq!(claims(bot.token())["sid"], theirs.id.to_string());
        ada.ask::<()>("end_login", &[("id", &theirs.id.to_string())]).await.unwrap();
        assert_eq!(socket.closed_within(SOON).await, LOG_IN_AGAIN);
        assert_eq!(answers(&bot, bot.token()).await, BAD);
    }

    async fn a_token_that_is_used_is_seen_in_the_list(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        let bot = app.bot().log_in("ada").await;
        app.stop().await;
        app.sql(&format!("UPDATE logins SET seen_at = {}", (seconds() - 7200) * 1_000_000)).await.unwrap();
        app.start_again().await;
        let seen = async || {
            let logins: Vec<LoginItem> = ada.ask("list_logins", &[]).await.unwrap();
            logins.iter().find(|login| !login.current).expect("the token's login is in the list").seen_at.0 / 1_000_000
        };
        assert!(seen().await < seconds() - 7000);
        bot.get("/api/me").await;
        assert!(seen().await > seconds() - 60);
    }

    async fn a_changed_password_ends_every_token(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let bot = app.bot().log_in("ada").await;
        let ticket = bot.ticket().await;
        let mut socket = bot.socket("/ws").await.unwrap();
        ada.ask::<()>("change_password", &[("current", PASSWORD), ("new", "a louder harbour at dawn")]).await.unwrap();
        assert_eq!(socket.closed_within(SOON).await, LOG_IN_AGAIN);
        assert_eq!(answers(&bot, bot.token()).await, BAD);
        let by_ticket = Socket::connect(bot.address(), &format!("/ws?ticket={ticket}"), &[]).await;
        assert_eq!(by_ticket.err(), Some(401), "a ticket is worth what its login is worth");
    }

    async fn a_disabled_account_has_no_token(app: TestApp) {
        let mut app = app;
        let bot = app.register("ada").await;
        app.restart().await;
        assert_eq!(answers(&bot, bot.token()).await, GOOD, "a restart ends nothing");
        app.stop().await;
        app.sql("UPDATE accounts SET disabled_at = 1").await.unwrap();
        app.start_again().await;
        assert_eq!(answers(&bot, bot.token()).await, BAD);
    }

    async fn a_socket_ends_with_the_day_of_its_token(app: TestApp) {
        let mut app = app;
        let bot = app.register("ada").await;
        app.stop().await;
        app.sql(&format!("UPDATE logins SET until_at = {}", (seconds() + 4) * 1_000_000)).await.unwrap();
        app.start_again().await;
        let mut socket = bot.socket("/ws").await.unwrap();
        socket.hello().await;
        assert_eq!(socket.closed().await, LOG_IN_AGAIN);
        assert_eq!(answers(&bot, bot.token()).await, BAD, "although it is signed for longer");
    }

    async fn another_key_ends_every_token(app: TestApp) {
        let mut app = app;
        let bot = app.register("ada").await;
        app.stop().await;
        app.set(|settings| settings.token_key = Some(KEY.to_owned().into()));
        app.start_again().await;
        assert_eq!(answers(&bot, bot.token()).await, BAD);
        let bot = app.bot().log_in("ada").await;
        assert_eq!(answers(&bot, bot.token()).await, GOOD);
    }

    async fn a_ticket_opens_one_socket_once(app: TestApp) {
        let bot = app.register("ada").await;
        let path = format!("/ws?ticket={}", bot.ticket().await);
        let tries = (0..8).map(|_| Socket::connect(app.address(), &path, &[]));
        let mut open: Vec<_> = futures_util::future::join_all(tries).await.into_iter().filter_map(Result::ok).collect();
        assert_eq!(open.len(), 1, "of several who show it at once one gets in");
        open[0].hello().await;
        open[0].say("general", "by a ticket").await;
        assert_eq!(Socket::connect(app.address(), &path, &[]).await.err(), Some(401));
        let made_up = "/ws?ticket=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(Socket::connect(app.address(), made_up, &[]).await.err(), Some(401));
        assert_eq!(bot.with(bot.ticket().await).get("/api/me").await.status, 401, "it is no token");
        bot.act("/api/auth/logout").await;
        assert_eq!(open[0].closed_within(SOON).await, LOG_IN_AGAIN, "its socket stands on the login");
    }

    async fn a_ticket_that_is_too_old_opens_nothing_and_the_database_has_none(app: TestApp) {
        let mut app = app;
        let bot = app.register("ada").await;
        let ticket = bot.ticket().await;
        app.stop().await;
        if app.engine == Engine::Sqlite {
            let kept = |secret: &str| memchr::memmem::find(&app.file(), secret.as_bytes()).is_some();
            assert!(kept("ada@example.org"), "the file is the one that is meant");
            assert!(!kept(&ticket) && !kept(bot.token()));
        }
        app.sql("UPDATE tickets SET expires_at = expires_at - 31000000").await.unwrap();
        app.start_again().await;
        assert_eq!(Socket::connect(app.address(), &format!("/ws?ticket={ticket}"), &[]).await.err(), Some(401));
    }

    async fn a_bad_token_is_not_made_up_for_by_a_cookie(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let origin = ada.origin();
        assert!(ada.try_socket(&[("origin", &origin), ("authorization", "Basic YTpi")]).await.is_ok(), "another scheme is someone else's");
        assert_eq!(ada.try_socket(&[("origin", &origin), ("authorization", "Bearer abc")]).await.err(), Some(401));
        let reply = ada.request(reqwest::Method::GET, "/api/me", &[("origin", &origin)], None).await;
        assert_eq!(reply.status, 401, "the API takes no cookie");
    }

    async fn a_token_needs_no_origin(app: TestApp) {
        let bot = app.register("ada").await;
        let bearer = format!("Bearer {}", bot.token());
        let headers = [("authorization", bearer.as_str()), ("origin", "https://board.example.org")];
        assert!(Socket::connect(app.address(), "/ws", &headers).await.is_ok(), "no other site has the token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_on_a_database_takes_its_tokens() {
    let app = TestApp::start(Engine::Postgres).await;
    let beside = app.beside().await;
    let bot = app.register("ada").await;
    assert_eq!(answers(&beside.bot(), bot.token()).await, GOOD);
    let ticket = bot.ticket().await;
    assert!(Socket::connect(beside.address(), &format!("/ws?ticket={ticket}"), &[]).await.is_ok());
}
