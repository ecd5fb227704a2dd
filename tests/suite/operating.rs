//! What whoever runs a server sees of it from outside: health, and what is counted.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};

use prometheus_parse::{Scrape, Value};
use reqwest::Method;
use snug::protocol::{Refusal, Seq};
use sqlx::{Connection, Executor, PgConnection};

use crate::support::{Engine, PATIENCE, Program, Reply, TestApp, Visitor, eventually, message, new_id, on_both, within};

const SNUG: &str = env!("CARGO_BIN_EXE_snug");

const TOKEN: &str = "a-token-of-the-tests";

on_both! {
    async fn health_is_said_by_exit_code_and_one_line(app: TestApp) {
        let mut app = app;
        let addr = app.address().to_string();
        assert_eq!(health(&addr), (Some(0), "ready\n".to_owned(), String::new()));
        app.stop().await;
        let (code, out, said) = health(&addr);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(said.starts_with(&format!("snug: nothing answers at {addr}: ")) && said.lines().count() == 1, "{said}");
    }

    async fn what_happens_is_counted(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.replay_max = 5).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut socket = ada.live().await;
        let mut listener = bob.live().await;
        let before = app.scrape().await;
        assert_eq!(before.of("snug_connections"), 2.0);
        let commands: Vec<_> = (0..10).map(|n| message("general", &format!("message {n}")).1).collect();
        for command in &commands {
            socket.feed(command).await;
        }
        socket.flush().await;
        listener.message("message 9").await;
        assert_eq!(app.visitor().ask::<()>("log_in", &[("name", "ada"), ("password", "wrong")]).await, Err(Refusal::WrongPassword));
        let mut late = bob.socket().await;
        late.resume(bob.epoch().await, &[("general", Seq(1))]).await;
        let mut stranger = bob.socket().await;
        stranger.resume(new_id(), &[("general", Seq(1))]).await;

        let after = app.scrape().await;
        let grew = |name: &str| after.of(name) - before.of(name);
        assert_eq!(grew("snug_events_total"), 10.0);
        assert_eq!(grew("snug_deliveries_total"), 20.0);
        assert_eq!(grew("snug_connections"), 2.0);
        assert_eq!(grew("snug_connections_opened_total"), 2.0);
        assert_eq!(grew("snug_logins_total{outcome=refused}"), 1.0);
        assert_eq!(grew("snug_resyncs_total{how=anew}"), 2.0, "too far behind, and of another database");
        assert_eq!(after.of("snug_writer_queue"), 0.0);
        assert_eq!(after.of(&format!("snug_build_info{{engine={},version={}}}", app.name(), env!("CARGO_PKG_VERSION"))), 1.0);
        assert!(grew("snug_requests_total{status=2xx}") >= 1.0 && grew("snug_requests_total{status=4xx}") == 1.0);
        assert_eq!(grew("snug_requests_total{status=5xx}"), 0.0);
        assert_eq!(grew("snug_send_seconds_count"), 10.0);
        assert!(grew("snug_send_seconds_sum") > 0.0);
        assert_eq!(after.buckets("snug_send_seconds").last(), Some(&(f64::INFINITY, after.of("snug_send_seconds_count"))));
        assert_eq!(grew("snug_commit_changes_sum"), 10.0);
        let commits = grew("snug_commit_changes_count");
        assert!((1.0..=10.0).contains(&commits) && grew("snug_commit_seconds_count") == commits);
        assert!(after.of("snug_request_seconds_count") > before.of("snug_request_seconds_count"));

        for gone in [socket, listener, late, stranger] {
            gone.close().await;
        }
        eventually("the connections are counted out", async || (app.scrape().await.of("snug_connections") == 0.0).then_some(())).await;
    }
}

#[tokio::test]
async fn what_is_counted_is_not_for_strangers() {
    let app = TestApp::start(Engine::Sqlite).await;
    let visitor = app.visitor();
    assert_eq!(metrics(&visitor, &[]).await.status, 200);
    for forwarded in [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1")] {
        let reply = metrics(&visitor, &[forwarded]).await;
        assert_eq!((reply.status, reply.body.contains("snug_")), (404, false), "{forwarded:?}");
    }
}

#[tokio::test]
async fn with_a_token_set_it_is_asked_of_everyone() {
    let app = TestApp::start_with(Engine::Sqlite, |settings| settings.metrics_token = Some(TOKEN.to_owned().into())).await;
    let visitor = app.visitor();
    let bearer = format!("Bearer {TOKEN}");
    for wrong in ["", TOKEN, "Bearer", "Bearer ", "Bearer a-token-of-the-test", &format!("Basic {TOKEN}"), &format!("{bearer}s")]
    {
        let reply = metrics(&visitor, &[("authorization", wrong)]).await;
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, "Bearer"), "{wrong:?}");
        assert!(!reply.body.contains("snug_"));
    }
    assert_eq!(metrics(&visitor, &[]).await.status, 401);
    let reply = metrics(&visitor, &[("authorization", &bearer), ("x-forwarded-for", "203.0.113.7")]).await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, "no-store"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_which_of_its_parts_a_server_lacks() {
    let app = TestApp::start(Engine::Postgres).await;
    let addr = app.address().to_string();
    crate::support::Postgres::shared().drop(app.database_url().unwrap()).await;
    let said = format!("snug: the server at {addr} is not ready: the database does not answer\n");
    assert_eq!(health(&addr), (Some(1), String::new(), said));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_does_not_wait_for_a_database_that_hangs() {
    let app = TestApp::start(Engine::Postgres).await;
    let visitor = app.visitor();
    let mut other = PgConnection::connect(app.database_url().unwrap()).await.unwrap();
    other.execute("BEGIN; LOCK TABLE server IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let reply = within(PATIENCE, "it answers all the same", visitor.get("/readyz")).await;
    assert_eq!((reply.status, reply.body.as_str()), (503, "the database does not answer\n"));
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(visitor.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_postgres_is_told_as_one() {
    let mut app = TestApp::start(Engine::Postgres).await;
    let bot = app.register("bot").await;
    app.stop().await;
    let full = "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no space left' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER no_room BEFORE INSERT ON messages FOR EACH STATEMENT EXECUTE FUNCTION no_room()";
    app.sql(full).await.unwrap();
    app.start_again().await;
    let message = serde_json::json!({ "id": new_id(), "text": "is there room?" });
    let reply = bot.post("/api/rooms/general/messages", message).await;
    assert_eq!((reply.status, reply.problem().as_str(), reply.header("retry-after")), (503, "full", "10"));
}

#[test]
fn health_takes_nobody_else_for_a_server() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = other.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        for answer in ["HTTP/1.1 200 OK\r\n\r\nhello", "SSH-2.0-other\r\n"] {
            let (mut stream, _) = other.accept().unwrap();
            let _asked = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let said = format!("snug: what answers at {addr} is no snug server\n");
    for _ in 0..2 {
        assert_eq!(health(&addr), (Some(1), String::new(), said.clone()));
    }
    answering.join().unwrap();
    let (code, _, said) = health("127.0.0.1:0");
    assert!(code == Some(1) && said.contains("--addr"), "{said}");
}

#[test]
fn health_finds_a_server_that_listens_on_every_address() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["--addr".as_ref(), "0.0.0.0:0".as_ref(), "--data".as_ref(), data.as_os_str()];
    let mut command = Command::new(SNUG);
    command.arg("serve").args(args);
    let server = Program::run(command);
    assert_eq!(health(&format!("0.0.0.0:{}", server.address().port())).0, Some(0));
}

/// `snug health`: exit code, output, error.
fn health(addr: &str) -> (Option<i32>, String, String) {
    let folder = std::env::temp_dir();
    let output = Command::new(SNUG).args(["health", "--addr", addr]).current_dir(folder).env_clear().output();
    let Output { status, stdout, stderr } = output.expect("the program runs");
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

async fn metrics(visitor: &Visitor, headers: &[(&str, &str)]) -> Reply {
    visitor.request(Method::GET, "/metrics", headers, None).await
}

/// What Prometheus would have read.
struct Scraped(Scrape);

impl TestApp {
    fn name(&self) -> &'static str {
        if self.engine == Engine::Sqlite { "sqlite" } else { "postgres" }
    }

    async fn scrape(&self) -> Scraped {
        let reply = metrics(&self.visitor(), &[]).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let scrape = Scrape::parse(reply.body.lines().map(|line| Ok(line.to_owned()))).expect("Prometheus' text format");
        for sample in &scrape.samples {
            // The parser gives a histogram's sum and count no type of their own.
            let of_histogram = sample.metric.ends_with("_sum") || sample.metric.ends_with("_count");
            assert!(of_histogram || !matches!(sample.value, Value::Untyped(_)), "{} has a type", sample.metric);
        }
        for line in reply.body.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap();
            assert!(reply.body.contains(&format!("# HELP {name} ")), "{name} is explained");
        }
        Scraped(scrape)
    }
}

impl Scraped {
    /// The value of `name` or `name{label=value,…}`, labels in the order of the alphabet.
    fn of(&self, wanted: &str) -> f64 {
        let written = |sample: &prometheus_parse::Sample| {
            let mut labels: Vec<_> = sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            labels.sort();
            if labels.is_empty() { sample.metric.clone() } else { format!("{}{{{}}}", sample.metric, labels.join(",")) }
        };
        let sample = self.0.samples.iter().find(|sample| written(sample) == wanted);
        match sample.unwrap_or_else(|| panic!("no {wanted}")).value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => value,
            ref other => panic!("{wanted} is {other:?}"),
        }
    }

    /// A histogram's buckets: upper bound, and how many are at most that.
    fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let sample = self.0.samples.iter().find(|sample| sample.metric == name).expect("the histogram");
        let Value::Histogram(buckets) = &sample.value else { panic!("{name} is {:?}", sample.value) };
        assert!(buckets.windows(2).all(|pair| pair[0].less_than < pair[1].less_than && pair[0].count <= pair[1].count));
        buckets.iter().map(|bucket| (bucket.less_than, bucket.count)).collect()
    }
}
