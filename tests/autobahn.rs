//! WebSocket as the Autobahn suite sees it (`wstest`, which `scripts/setup wstest` installs): `make autobahn`. What it talks to is an
//! echo over the stream and the functions that every socket of the server is opened, read and ended by; the server itself has no such door.
//!
//! It is run twice: with frames as large as the suite has them, and with the limit that the server has by default.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::routing::any;
use axum::serve::{IncomingStream, Listener};
use serde::Deserialize;
use serde_json::json;
use snug::server::config::Settings;
use snug::server::live::Closing;
use snug::server::live::wire::{self, Socket};
use snug::server::stream::{Outbound, Stream};
use support::programs;
use tokio::net::TcpListener;

/// Bytes in the largest frame of the suite.
const LARGEST: usize = 16 * 1024 * 1024;

/// Cases of the suite without compression, and with: one that runs fewer proves less.
const PLAIN: usize = 301;
const COMPRESSED: usize = 216;

/// What the suite finds unusual, and the protocol allows: a text that is no UTF-8 is refused when its frame is whole (fragments one by
/// one), and not in the middle of it.
const LATE: [&str; 2] = ["6.4.3", "6.4.4"];

/// What the usual limit refuses: all of section 9 that sends more than 64 KiB in a message. 9.1.1 and 9.2.1 send exactly that.
fn is_larger(case: &str) -> bool {
    ["9.1.", "9.2.", "9.3.", "9.4.", "9.5.", "9.6."].iter().any(|section| case.starts_with(section))
        && !["9.1.1", "9.2.1"].contains(&case)
}

/// How many cases [`is_larger`] knows.
const LARGER: usize = 40;

/// Gives back what comes.
async fn echo(mut socket: Socket) {
    let ended = async |socket: &mut Socket| -> Result<(), Closing> {
        while let Some(frame) = socket.hear().await? {
            match frame {
                Message::Text(text) => {
                    if !socket.send([wire::text(&[text])]) {
                        socket.flush().await?;
                    }
                }
                Message::Binary(_) => socket.say(frame).await?,
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
            }
        }
        Ok(())
    };
    if let Err(why) = ended(&mut socket).await {
        socket.farewell(why).await;
    }
}

/// The way out of a connection, for who opens a socket on it.
#[derive(Clone)]
struct Out(Arc<Outbound>);

impl Connected<IncomingStream<'_, Listening>> for Out {
    fn connect_info(stream: IncomingStream<'_, Listening>) -> Self {
        Self(stream.io().outbound())
    }
}

/// Streams as the server has them.
struct Listening(TcpListener);

impl Listener for Listening {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        let (stream, peer) = self.0.accept().await.unwrap();
        (Stream::new(stream, Duration::from_secs(30)), peer)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Where an echo listens that takes frames of up to `frame_max` bytes.
async fn server(frame_max: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let open =
        async move |upgrade: WebSocketUpgrade, ConnectInfo(out): ConnectInfo<Out>| wire::upgrade(upgrade, out.0, frame_max, echo);
    let router = Router::new().route("/", any(open)).into_make_service_with_connect_info::<Out>();
    tokio::spawn(async move { axum::serve(Listening(listener), router).await });
    address
}

/// What the suite says of a case.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    behavior: String,
    /// How the connection was closed.
    behavior_close: String,
    /// The code that the echo gave for it.
    remote_close_code: Option<u16>,
}

impl Verdict {
    fn is(&self, behavior: &str, close: &str) -> bool {
        self.behavior == behavior && self.behavior_close == close
    }

    /// As the protocol has it, or beyond what it says.
    fn is_passed(&self) -> bool {
        self.is("OK", "OK") || self.is("INFORMATIONAL", "INFORMATIONAL")
    }
}

/// Runs the suite without the cases `but` against an echo that takes frames of up to `frame_max` bytes; its verdicts.
async fn verdicts(frame_max: usize, but: &[&str]) -> BTreeMap<String, Verdict> {
    let address = server(frame_max).await;
    let folder = tempfile::tempdir().unwrap();
    let spec = json!({
        "outdir": folder.path().join("report"),
        "servers": [{ "agent": "snug", "url": format!("ws://{address}") }],
        "cases": ["*"],
        "exclude-cases": but,
        "exclude-agent-cases": {},
    });
    std::fs::write(folder.path().join("spec.json"), spec.to_string()).unwrap();
    let report = folder.path().join("report/index.json");
    let folder = folder.path().to_owned();
    tokio::task::spawn_blocking(move || run(&folder)).await.unwrap();
    let mut report: BTreeMap<String, BTreeMap<String, Verdict>> =
        serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    report.remove("snug").unwrap()
}

fn run(folder: &Path) {
    let mut wstest = Command::new(programs("wstest").join("wstest"));
    wstest.args(["--mode", "fuzzingclient", "--spec", "spec.json"]).current_dir(folder);
    let status = wstest.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "wstest failed: {status}");
}

/// Says how many cases ended how.
fn count(what: &str, verdicts: &BTreeMap<String, Verdict>) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for Verdict { behavior, behavior_close, .. } in verdicts.values() {
        *counts.entry(format!("{behavior}, closed {behavior_close}")).or_default() += 1;
    }
    eprintln!("{what}: {} cases", verdicts.len());
    counts.iter().for_each(|(verdict, count)| eprintln!("  {count:>3} {verdict}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_is_passed_with_frames_as_large_as_the_suite_has_them() {
    let verdicts = verdicts(LARGEST, &[]).await;
    count("frames of up to 16 MiB", &verdicts);
    // permessage-deflate is not offered: it costs memory for each connection.
    let (compressed, plain): (Vec<_>, Vec<_>) =
        verdicts.iter().partition(|(case, _)| case.starts_with("12.") || case.starts_with("13."));
    assert!(compressed.iter().all(|(_, verdict)| verdict.behavior == "UNIMPLEMENTED"), "{compressed:?}");
    let failed: Vec<_> = plain.iter().filter(|(_, verdict)| !verdict.is_passed() && !verdict.is("NON-STRICT", "OK")).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let late: Vec<_> =
        plain.iter().filter(|(_, verdict)| verdict.behavior == "NON-STRICT").map(|(case, _)| case.as_str()).collect();
    assert_eq!(late, LATE);
    assert_eq!((plain.len(), compressed.len()), (PLAIN, COMPRESSED));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_usual_limit_refuses_what_is_larger_and_nothing_else() {
    let usual = usize::try_from(Settings::default().frame_max).unwrap();
    let verdicts = verdicts(usual, &["12.*", "13.*"]).await;
    count("frames of up to 64 KiB, as usual", &verdicts);
    let (larger, rest): (Vec<_>, Vec<_>) = verdicts.iter().partition(|(case, _)| is_larger(case));
    // Told why: 1009, too large.
    assert!(larger.iter().all(|(_, verdict)| verdict.remote_close_code == Some(1009)), "{larger:?}");
    let failed: Vec<_> = rest.iter().filter(|(_, verdict)| !verdict.is_passed() && !verdict.is("NON-STRICT", "OK")).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!((larger.len(), verdicts.len()), (LARGER, PLAIN));
}
