//! `snug admin`: by the server that runs, beside it, and without one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use snug::protocol::{Event, LoginItem, Refusal};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::support::{Closed, Engine, PASSWORD, Postgres, TestApp, eventually, on_both, snug};

/// The close code that says: log in again.
const LOG_IN_AGAIN: Closed = Closed(Some(4401));

/// Within how long an ended login is cut off: a second, and one more for a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(2);

const NEW: &str = "a louder harbour at dawn";

impl TestApp {
    async fn admin(&self, args: &[&str], input: &str) -> crate::support::Said {
        self.snug(&[&["admin"], args].concat(), input).await
    }

    async fn log_in_with(&self, name: &str, password: &str) -> Result<(), Refusal> {
        self.visitor().ask::<()>("log_in", &[("name", name), ("password", password)]).await
    }
}

on_both! {
    async fn an_account_that_the_operator_makes_is_like_any_other(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let said = app.admin(&["create-user", "grace", "grace@example.org"], &format!("{NEW}\n")).await;
        assert_eq!(said.ok(), "grace has an account\n");
        let grace = app.visitor().log_in("grace@example.org", NEW).await;
        assert!(!grace.whoami().await.unwrap().admin);
        assert!(grace.room_in_list("general").await.member);
        let joined = socket.until(|event| matches!(event, Event::Joined(joined) if joined.by.user == "grace")).await;
        assert_eq!(joined.place().unwrap().0.as_str(), "general", "who is there hears of it");
        app.admin(&["create-user", "boss", "boss@example.org", "--admin"], NEW).await.ok();
        assert!(app.visitor().log_in("boss", NEW).await.whoami().await.unwrap().admin);
    }

    async fn what_a_person_may_not_choose_the_operator_may_not_either(app: TestApp) {
        app.sign_up("ada").await;
        let create = async |user: &str, email: &str, password: &str| {
            app.admin(&["create-user", user, email], password).await.refusal()
        };
        let said = |refusal: Refusal| refusal.to_string();
        assert_eq!(create("ADA", "other@example.org", NEW).await, said(Refusal::TakenUsername));
        assert_eq!(create("other", "Ada@example.org", NEW).await, said(Refusal::TakenEmail));
        assert_eq!(create("other", "other@example.org", "password").await, said(Refusal::CommonPassword));
        assert!(create("other", "other@example.org", "short").await.contains("at least 8 characters"));
        assert!(create("a@b", "other@example.org", NEW).await.contains("letters and digits"));
        assert!(create("\u{3164}", "other@example.org", NEW).await.contains("letters and digits"));
        app.sign_up("Ian").await;
        assert_eq!(create("lan", "other@example.org", NEW).await, said(Refusal::TakenUsername));
        assert_eq!(create("other", "other@example.org", "").await, "no password came by the standard input");
        assert_eq!(app.admin(&["set-password", "ada"], "ada@example.org").await.refusal(), said(Refusal::CommonPassword));
        assert_eq!(app.admin(&["set-password", "eve"], NEW).await.refusal(), "there is no account with the name eve");
        assert_eq!(app.log_in_with("ada", PASSWORD).await, Ok(()));
    }

    async fn a_password_that_the_operator_sets_ends_every_login_and_its_sockets(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let bob = app.sign_up("bob").await;
        let (mut here, mut others) = (ada.live().await, bob.live().await);
        let elsewhere = app.log_in("ada").await;
        let mut there = elsewhere.live().await;
        let said = app.admin(&["set-password", "Ada@example.org"], &format!("{NEW}\nsecond line\n")).await;
        assert_eq!(said.ok(), "Ada@example.org has a new password; 2 logins ended\n");
        assert_eq!(here.closed_within(SOON).await, LOG_IN_AGAIN);
        assert_eq!(there.closed_within(SOON).await, LOG_IN_AGAIN);
        assert_eq!(ada.whoami().await, None);
        assert_eq!(app.log_in_with("ada", PASSWORD).await, Err(Refusal::WrongPassword));
        assert_eq!(app.log_in_with("ada", NEW).await, Ok(()));
        assert!(others.drain().await.is_empty() && bob.whoami().await.is_some(), "others stay");
    }

    async fn a_disabled_account_is_out_at_once_and_its_messages_stay(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        ada.post("general", "what I said").await;
        let mut socket = ada.live().await;
        assert_eq!(app.admin(&["disable", "ada"], "").await.ok(), "ada is disabled; 1 login ended\n");
        assert_eq!(socket.closed_within(SOON).await, LOG_IN_AGAIN);
        assert_eq!(ada.whoami().await, None);
        assert_eq!(ada.ask::<Vec<()>>("list_rooms", &[]).await, Err(Refusal::LogIn));
        assert_eq!(ada.try_socket(&[("origin", &ada.origin())]).await.err(), Some(401));
        assert_eq!(app.log_in_with("ada", PASSWORD).await, Err(Refusal::WrongPassword), "to strangers there is no difference");
        let log = bob.log("general").await;
        assert!(log.iter().any(|event| matches!(event, Event::Message(message) if message.text == "what I said")));
        assert_eq!(app.admin(&["disable", "ada"], "").await.ok(), "ada is disabled; 0 logins ended\n");

        assert_eq!(app.admin(&["enable", "ada"], "").await.ok(), "ada is enabled\n");
        assert_eq!(ada.whoami().await, None, "what had ended stays ended");
        assert_eq!(app.log_in_with("ada", PASSWORD).await, Ok(()));
    }

    async fn accounts_are_listed_for_people_and_for_programs(app: TestApp) {
        app.sign_up("ada").await;
        app.sign_up("bob").await;
        app.log_in("bob").await;
        app.admin(&["disable", "ada"], "").await.ok();
        let text = app.admin(&["users"], "").await.ok();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0][..3], ["user", "e-mail", "is"]);
        assert_eq!(rows[1][..3], ["ada", "ada@example.org", "disabled"]);
        assert_eq!((rows[2][0], *rows[2].last().unwrap()), ("bob", "2"));
        let json: Value = serde_json::from_str(&app.admin(&["users", "--json"], "").await.ok()).unwrap();
        let [ada, bob] = json.as_array().unwrap().as_slice() else { panic!("{json}") };
        assert_eq!((&ada["user"], &ada["admin"], ada["disabled_at"].is_i64()), (&"ada".into(), &true.into(), true));
        assert_eq!((&bob["user"], &bob["logins"], bob["disabled_at"].is_null()), (&"bob".into(), &2.into(), true));
    }

    async fn a_login_is_listed_and_ended_by_its_id(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let elsewhere = app.log_in("ada").await;
        let (mut here, mut there) = (ada.live().await, elsewhere.live().await);
        let json = app.admin(&["logins", "ada", "--json"], "").await.ok();
        let logins: Vec<LoginItem> = serde_json::from_str(&json).unwrap();
        assert_eq!(logins.len(), 2);
        let ended = ada.ask::<Vec<LoginItem>>("list_logins", &[]).await.unwrap().into_iter().find(|login| login.current).unwrap();
        let id = ended.id.to_string();
        assert!(app.admin(&["logins", "ada"], "").await.ok().contains(&id));
        assert_eq!(app.admin(&["end-login", &id], "").await.ok(), "1 login ended\n");
        assert_eq!(here.closed_within(SOON).await, LOG_IN_AGAIN);
        assert!(ada.whoami().await.is_none() && elsewhere.whoami().await.is_some());
        assert!(there.drain().await.is_empty(), "the other one stays");
        let refusal = app.admin(&["end-login", &id], "").await.refusal();
        assert_eq!(refusal, format!("there is no login {id} that has not ended"));
        assert_eq!(app.admin(&["end-logins", "ada", "--json"], "").await.ok(), "{\"ended\":1}\n");
        assert_eq!(there.closed_within(SOON).await, LOG_IN_AGAIN);
        assert_eq!(app.admin(&["logins", "eve"], "").await.refusal(), "there is no account with the name eve");
    }

    async fn a_room_that_the_operator_closes_is_closed_for_everyone_there(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let tea = ada.create_room("Tea").await;
        let mut socket = ada.live().await;
        assert_eq!(app.admin(&["close-room", "tea"], "").await.ok(), "tea is closed\n");
        let Event::Closed(closure) = socket.until(|event| matches!(event, Event::Closed(_))).await else { unreachable!() };
        assert!(closure.room == tea && closure.operator && closure.by.is_none(), "{closure:?}");
        let page = ada.page("tea").await;
        assert!(page.closed && page.events.last() == Some(&Event::Closed(closure)), "the log says the same");
        assert!(ada.get("/room/tea").await.body.contains("Whoever runs this server closed the room"));
        assert_eq!(app.admin(&["close-room", "tea"], "").await.ok(), "tea is closed\n", "it stays so");
        assert_eq!(ada.page("tea").await.as_of, page.as_of, "and nothing more is logged");
        assert_eq!(app.admin(&["reopen-room", "tea"], "").await.ok(), "tea is open\n");
        assert!(matches!(socket.until(|event| matches!(event, Event::Reopened(_))).await, Event::Reopened(c) if c.operator));
        ada.post("tea", "still here").await;

        for first in ["general", "random", "help"] {
            let refusal = app.admin(&["close-room", first], "").await.refusal();
            assert_eq!(refusal, format!("{first} is there from the start, and such rooms stay open"));
        }
        for none in ["nowhere", "No Such Room"] {
            let refusal = app.admin(&["close-room", none], "").await.refusal();
            assert_eq!(refusal, format!("there is no room {none}; rooms are named as in their address"));
        }
    }

    async fn without_a_server_the_command_does_it_itself(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        ada.create_room("Tea").await;
        app.stop().await;
        app.admin(&["create-user", "grace", "grace@example.org"], NEW).await.ok();
        app.admin(&["disable", "ada"], "").await.ok();
        app.admin(&["close-room", "tea"], "").await.ok();
        assert_eq!(app.admin(&["create-user", "grace", "g@example.org"], NEW).await.refusal(), Refusal::TakenUsername.to_string());
        app.start_again().await;
        assert_eq!(ada.whoami().await, None);
        let grace = app.visitor().log_in("grace", NEW).await;
        assert!(grace.page("tea").await.closed);
        let log = grace.log("general").await;
        let seqs: Vec<i64> = log.iter().map(|event| event.place().unwrap().1.0).collect();
        assert_eq!(seqs, (1..=i64::try_from(seqs.len()).unwrap()).collect::<Vec<_>>(), "the log has no gap");
    }

    async fn the_first_account_can_be_made_before_the_first_start(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let url = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Postgres::shared().database().await),
        };
        snug(&data, url.as_deref(), &["admin", "create-user", "ada", "ada@example.org"], NEW).await.ok();
        let json = snug(&data, url.as_deref(), &["admin", "users", "--json"], "").await.ok();
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json[0]["user"], &json[0]["admin"]), (&"ada".into(), &true.into()));
    }
}

#[tokio::test]
async fn a_login_that_ends_on_one_node_ends_on_every_other() {
    let app = TestApp::start(Engine::Postgres).await;
    let other = app.beside().await;
    let ada = app.sign_up("ada").await;
    let there = other.log_in("ada").await;
    let (mut here, mut socket) = (ada.live().await, there.live().await);
    ada.ask::<()>("change_password", &[("current", PASSWORD), ("new", NEW)]).await.unwrap();
    assert_eq!(socket.closed_within(SOON).await, LOG_IN_AGAIN);
    assert!(here.drain().await.is_empty(), "the one that changed it stays");
}

#[tokio::test]
async fn a_node_that_missed_forgotten_notices_asks_everyone_to_come_again() {
    let app = TestApp::start(Engine::Postgres).await;
    let mut socket = app.sign_up("ada").await.live().await;
    let mut database = PgConnection::connect(app.database_url().unwrap()).await.unwrap();
    // As after a day without the database: the list goes on at another number than the next.
    let statements = "UPDATE server SET last_notice = 7;
        INSERT INTO notices (number, room_id, seq, at) SELECT 7, id, 1, 0 FROM rooms WHERE slug = 'general'";
    database.execute(statements).await.unwrap();
    assert_eq!(socket.closed_within(SOON).await, Closed(Some(1011)));
}

#[tokio::test]
async fn the_operators_socket_is_for_its_owner_and_goes_with_the_server() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let socket = app.data().join("admin.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    app.stop().await;
    assert!(!socket.exists());
    // One that a killed server left behind is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(app.admin(&["users"], "").await.ok().starts_with("user "));
    app.start_again().await;
    assert!(app.admin(&["users"], "").await.ok().starts_with("user "));
}

#[tokio::test]
async fn a_line_that_is_no_request_is_answered_and_harms_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let app = TestApp::start(Engine::Sqlite).await;
    for line in ["hello\n", "{\"do\":\"sing\"}\n", "\n", &format!("{}\n", "x".repeat(100_000))] {
        let mut stream = tokio::net::UnixStream::connect(app.data().join("admin.sock")).await.unwrap();
        let _cut_off = stream.write_all(line.as_bytes()).await;
        let mut reply = String::new();
        let _cut_off = stream.read_to_string(&mut reply).await;
        assert!(reply.is_empty() && line.len() > 1000 || reply == "\"unknown\"\n", "{reply:?}");
    }
    assert!(app.admin(&["users"], "").await.ok().starts_with("user "));
}

#[tokio::test]
async fn a_folder_whose_server_does_not_answer_is_said_in_one_line() {
    let app = TestApp::start(Engine::Sqlite).await;
    std::fs::remove_file(app.data().join("admin.sock")).unwrap();
    let folder = app.data().display();
    let refusal = app.admin(&["users"], "").await.refusal();
    let said = "is in use by a snug server that does not answer operators: it is starting or stopping, or its log says why";
    assert_eq!(refusal, format!("{folder} {said}"));
}

#[tokio::test]
async fn a_folder_without_a_database_is_not_given_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let refusal = snug(&data, None, &["admin", "users"], "").await.refusal();
    let database = data.join("snug.db");
    let said = format!("there is no database at {}: name its folder with --data, or start the server once", database.display());
    assert_eq!(refusal, said);
    assert!(!data.exists());
}

#[tokio::test]
async fn a_database_that_is_away_or_newer_is_said_in_one_line() {
    let refusal =
        snug(Path::new("/nowhere"), Some("postgres://nobody@127.0.0.1:1/none"), &["admin", "users"], "").await.refusal();
    assert!(refusal.starts_with("the database cannot be opened: "), "{refusal}");
    let refusal = snug(Path::new("/nowhere"), Some("mysql://root@localhost/snug"), &["admin", "users"], "").await.refusal();
    assert!(refusal.starts_with("the database URL is not understood"), "{refusal}");
    let mut app = TestApp::start(Engine::Sqlite).await;
    app.stop().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', TRUE, x'00', 0)";
    app.sql(later).await.unwrap();
    let refusal = app.admin(&["users"], "").await.refusal();
    assert_eq!(refusal, "the database's schema (version 9999) is newer than this program: install a newer snug");
}

#[tokio::test]
async fn accounts_beyond_one_answer_are_listed_all() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    app.stop().await;
    let ids =
        |n: u32| (Uuid::from_u128(n.into()).simple().to_string(), Uuid::from_u128(u128::from(n) << 64).simple().to_string());
    let mut statements = "BEGIN;".to_owned();
    for n in 1..=1203 {
        let (account, user) = ids(n);
        statements.push_str(&format!(
            "INSERT INTO accounts (id, email, email_key, password_hash, created_at) VALUES (x'{account}', 'e{n}', 'e{n}', '', {n});
             INSERT INTO users (id, account_id, username, username_key, display_name, created_at)
             VALUES (x'{user}', x'{account}', 'u{n}', 'u{n}', 'u{n}', {n});"
        ));
    }
    app.sql(&(statements + "COMMIT;")).await.unwrap();
    app.start_again().await;
    let json: Value = serde_json::from_str(&app.admin(&["users", "--json"], "").await.ok()).unwrap();
    let mut names: Vec<&str> = json.as_array().unwrap().iter().map(|account| account["user"].as_str().unwrap()).collect();
    names.dedup();
    assert_eq!(names.len(), 1203);
    eventually("the server serves others meanwhile", async || app.visitor().get("/login").await.status.eq(&200).then_some(()))
        .await;
}
