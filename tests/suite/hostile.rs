//! Clients that break the protocol, or are slow on purpose: each is told what is wrong, none is waited for without end, and what they
//! make the server hold is bounded. (Headers, bodies and frames that come byte by byte are in `strangers`.)

use std::time::{Duration, Instant};

use snug::protocol::{Command, Event};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::{Closed, Engine, PATIENCE, Person, Program, Socket, TestApp, Visitor, eventually, message, on_both, within};

/// A client's frame, whose mask hides nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ 0..126 => vec![0x80 | u8::try_from(short).unwrap()],
        long => [&[0x80 | 126][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
    };
    [&[first], &*length, &[0; 4], payload].concat()
}

/// The first byte of frames: whole ones, and the first, a further and the last fragment of a text.
const TEXT: u8 = 0x81;
const FIRST: u8 = 0x01;
const FURTHER: u8 = 0x00;
const LAST: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// Asks for `path`, with headers of so many bytes in all; the answer, as far as it is said.
async fn ask_with_headers(app: &TestApp, bytes: usize) -> String {
    let (before, after) = ("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Anything: ", "\r\n\r\n");
    let head = format!("{before}{}{after}", "a".repeat(bytes - before.len() - after.len()));
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let _cut_off = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _reset = within(PATIENCE, "the server hangs up", stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

on_both! {
    async fn frames_that_break_the_protocol_end_the_socket_and_say_why(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut listener = bob.live().await;
        let half = vec![b'x'; 40_000];
        for (what, bytes, code) in [
            ("a reserved bit", frame(TEXT | 0x40, b"x"), 1002),
            ("no mask", vec![TEXT, 1, b'x'], 1002),
            ("a kind of data that there is not", frame(0x83, b"x"), 1002),
            ("a kind of control that there is not", frame(0x8b, b"x"), 1002),
            ("a ping in fragments", frame(PING & 0x0f, b"x"), 1002),
            ("a ping that is too long", frame(PING, &[b'x'; 126]), 1002),
            ("a fragment of nothing", frame(LAST, b"x"), 1002),
            ("a message within another", [frame(FIRST, b"x"), frame(TEXT, b"y")].concat(), 1002),
            ("a farewell of half a code", frame(CLOSE, &[3]), 1002),
            ("a farewell with a code that nobody may say", frame(CLOSE, &1005_u16.to_be_bytes()), 1002),
            ("a text that is no UTF-8", frame(TEXT, b"\xc3\x28"), 1007),
            ("one in fragments", [frame(FIRST, b"\xc3"), frame(LAST, b"\x28")].concat(), 1007),
            ("half a character", frame(TEXT, b"\xf0\x9f\x8c"), 1007),
            ("a farewell that is no UTF-8", frame(CLOSE, b"\x03\xe8\xff"), 1007),
            ("bytes", frame(0x82, b"x"), 1003),
            ("a frame of more than there is", [&[TEXT, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat(), 1009),
            ("a frame larger than allowed, of which nothing comes", [&[TEXT, 0xff][..], &65_537_u64.to_be_bytes(), &[0; 4]].concat(), 1009),
            ("a message larger than allowed", [frame(FIRST, &half), frame(FURTHER, &half)].concat(), 1009),
        ] {
            let mut socket = ada.live().await;
            socket.send_raw(&bytes).await;
            assert_eq!(socket.closed().await, Closed(Some(code)), "{what}");
        }
        let mut socket = ada.live().await;
        socket.say("general", "all is well").await;
        listener.message("all is well").await;
    }

    async fn who_is_still_sending_is_told_what_was_wrong(app: TestApp) {
        let ada = app.sign_up("ada").await;
        // More than the network holds: who is cut off while it sends may not come to read why.
        let fragments = frame(FURTHER, &[b'x'; 1000]).repeat(6_000);
        for _ in 0..5 {
            let mut socket = ada.live().await;
            assert!(socket.send_raw(&[frame(FIRST, b"x"), fragments.clone()].concat()).await, "it is heard out");
            assert_eq!(socket.closed().await, Closed(Some(1009)));
        }
    }

    async fn a_farewell_is_answered(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for code in [1000_u16, 1001, 3000, 4999] {
            let mut socket = ada.live().await;
            socket.send_raw(&frame(CLOSE, &code.to_be_bytes())).await;
            assert_eq!(socket.closed().await, Closed(Some(code)));
        }
    }

    async fn a_message_in_pieces_is_a_message(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let ping = serde_json::to_vec(&Command::Ping).unwrap();
        let (first, last) = ping.split_at(5);
        let bytes = [frame(FIRST, first), frame(PING, b"between"), frame(FURTHER, b""), frame(LAST, last)].concat();
        for byte in bytes {
            socket.send_raw(&[byte]).await;
        }
        socket.until(|event| *event == Event::Pong).await;
    }

    async fn half_a_frame_and_half_a_message_are_silence(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.idle_timeout = 1).await;
        let ada = app.sign_up("ada").await;
        let mut half = ada.live().await;
        half.send_raw(&frame(TEXT, &[b'x'; 1000])[..500]).await;
        assert_eq!(half.closed().await, Closed(Some(4409)));
        // Fragments, one after the other, of which none is the last.
        let mut endless = ada.live().await;
        endless.send_raw(&frame(FIRST, b"x")).await;
        let fragments = async {
            loop {
                endless.send_raw(&frame(FURTHER, b"x")).await;
                if let Ok(closed) = timeout(Duration::from_millis(50), endless.closed()).await {
                    return closed;
                }
            }
        };
        assert_eq!(within(PATIENCE, "it is not waited for", fragments).await, Closed(Some(4409)));
    }

    async fn a_flood_is_heard_no_faster_than_is_allowed(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            (settings.command_rate, settings.send_rate, settings.send_burst) = (10, 10, 10);
        }).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let (mut flood, mut listener) = (ada.live().await, bob.live().await);
        let start = Instant::now();
        // 60 at once, and 20 a second: what is beyond is not read before its time, even if there is nothing to answer.
        flood.send_raw(&frame(0x8a, b"unasked").repeat(200)).await;
        let (id, command) = message("general", "after the flood");
        flood.send(&command).await;
        listener.say("general", "nobody else is slowed").await;
        flood.acknowledged(id).await;
        assert!(start.elapsed() > Duration::from_secs(2), "{:?}", start.elapsed());
    }

    async fn who_asks_and_does_not_read_is_hung_up_on(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.write_timeout = 1).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut greedy = socket.connect(app.address()).await.unwrap();
        // Far more than the kernel holds for it.
        let requests = "GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        greedy.write_all(requests.as_bytes()).await.unwrap();
        let cut_off = || async { SockRef::from(&greedy).take_error().unwrap() };
        eventually("the server hangs up", cut_off).await;
        // Who reads gets all of it.
        let mut patient = TcpStream::connect(app.address()).await.unwrap();
        let last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        patient.write_all(format!("{requests}{last}").as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        within(3 * PATIENCE, "all is answered", patient.read_to_end(&mut answers)).await.unwrap();
        assert_eq!(memchr::memmem::find_iter(&answers, b"HTTP/1.1 200").count(), 101);
    }

    async fn headers_may_be_as_large_as_the_limit_and_no_larger(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.header_max = 10_000).await;
        let answer = ask_with_headers(&app, 10_000).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // Little more, more than is read at once, and far more than the network holds.
        for bytes in [10_001, 20_000, 100_000, 1_000_000, 10_000_000] {
            let answer = ask_with_headers(&app, bytes).await;
            assert!(answer.starts_with("HTTP/1.1 431"), "{bytes} bytes: {answer:?}");
        }
    }
}

/// A person at a server of its own, which takes everything as fast as it comes.
async fn ada() -> (tempfile::TempDir, Program, Person) {
    let data = tempfile::tempdir().unwrap();
    let mut args = vec!["--data", data.path().to_str().unwrap()];
    for limit in ["--sockets-per-user", "--sockets-per-minute", "--send-rate", "--send-burst"] {
        args.extend([limit, "1000"]);
    }
    args.extend(["--write-timeout", "600"]);
    let program = Program::start(env!("CARGO_BIN_EXE_snug").as_ref(), &args);
    let address = std::sync::Arc::new(std::sync::RwLock::new(program.address()));
    let ada = Visitor::new(Visitor::client(), address, None).sign_up("ada").await;
    (data, program, ada)
}

/// What is told again is read from the log as it is sent: not all at once, for who does not take it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_missed_much_and_does_not_read_it_makes_the_server_hold_little_of_it() {
    const SOCKETS: u64 = 20;
    let (_data, program, ada) = ada().await;
    let mut speaker = ada.live().await;
    let (first, _) = speaker.say("general", "the first").await;
    // 16 kB each, so 16 MB in all.
    let text = "🌱".repeat(4000);
    for _ in 0..999 {
        speaker.say("general", &text).await;
    }
    let epoch = ada.epoch().await;
    let headers = [("origin", &*ada.origin()), ("cookie", &*ada.cookies())];
    let before = program.memory().0;
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let mut socket = Socket::connect_narrow(program.address(), "/ws", &headers).await.unwrap();
        // The welcome comes first, with what is told again behind it.
        socket.resume(epoch, &[("general", first)]).await;
        sockets.push(socket);
    }
    let grown = program.memory().0.saturating_sub(before) / SOCKETS / 1024;
    assert!(grown < 4 * 1024, "{grown} KiB a socket");
    // And who reads gets all of it.
    let mut seqs = Vec::new();
    while seqs.len() < 999 {
        seqs.extend(sockets[0].next_event().await.place().map(|(_, seq)| seq.0));
    }
    assert_eq!(seqs, (first.0 + 1..=first.0 + 999).collect::<Vec<_>>());
}

/// A frame's bytes are held until it is whole, and a message's: those that came, and no more than each may have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_never_whole_take_the_memory_of_frames() {
    const SOCKETS: u64 = 200;
    let (_data, program, ada) = ada().await;
    let mut sockets: Vec<Socket> = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(ada.live().await);
    }
    let before = program.memory().1;
    // A message of almost 128 KiB in two fragments, of which the last byte is missing.
    let (first, second) = (frame(FIRST, &[b'x'; 65_000]), frame(FURTHER, &[b'x'; 65_000]));
    for socket in &mut sockets {
        socket.send_raw(&first).await;
        socket.send_raw(&second[..second.len() - 1]).await;
    }
    // That byte, and as much again ten times.
    for socket in &mut sockets {
        socket.send_raw(b"x").await;
        socket.send_raw(&second.repeat(10)).await;
        assert_eq!(socket.closed().await, Closed(Some(1009)), "all of it is larger than a message may be");
    }
    let grown = program.memory().1.saturating_sub(before) / SOCKETS / 1024;
    assert!(grown < 160, "{grown} KiB a socket");
}
