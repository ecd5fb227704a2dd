//! `snug chat`: by lines through pipes, and on the whole of a real pseudo-terminal.

use std::process::Stdio;

use serde_json::Value;
use snug::protocol::api::Room;
use snug::protocol::{Event, LoginItem, Refusal, Seq};
use tokio::process::Command;

use crate::support::{
    Bot, Engine, PASSWORD, Person, Postgres, Program, Said, Terminal, TestApp, Tool, eventually, on_both, snug_chat,
};

/// A screen of the usual size.
const USUAL: (u16, u16) = (80, 24);

/// What terminals have been attacked with, but for NUL, which no database takes.
const HOSTILE: [&str; 6] = [
    "\x1b[2J\x1b[H\x1b[31mred",
    "\x1b]0;title\x07 and \x1b]52;c;cm0gLXJmIC8=\x07",
    "\u{9b}31mred\u{9c}",
    "over\rwritten back\x08\x08\x08\x08space",
    "\u{202e}gnp.exe \u{2066}x\u{2069}",
    "line\u{2028}and\u{85}end",
];

impl TestApp {
    fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// `snug chat` with a person's token, at this server.
    async fn chat(&self, bot: &Bot, args: &[&str], input: &str) -> Said {
        snug_chat(&[&["chat", &self.url()], args].concat(), &[("SNUG_TOKEN", bot.token())], input).await
    }

    /// The same, going on.
    fn following(&self, bot: &Bot, args: &[&str]) -> Tool {
        following(&self.url(), bot, args)
    }

    /// The same, on a terminal of its own.
    fn terminal(&self, bot: &Bot, args: &[&str], size: (u16, u16)) -> Terminal {
        Terminal::run(&[&["chat", &self.url()], args].concat(), &[("SNUG_TOKEN", bot.token())], size)
    }
}

fn following(url: &str, bot: &Bot, args: &[&str]) -> Tool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snug"));
    command.args(["chat", url, "--follow"]).args(args).env_clear().env("SNUG_TOKEN", bot.token()).env("TZ", "UTC");
    command.stderr(Stdio::null());
    Tool::run(command)
}

/// The texts of a room's messages, in order.
async fn texts(person: &Person, room: &str) -> Vec<String> {
    let text = |event| if let Event::Message(message) = event { Some(message.text) } else { None };
    person.log(room).await.into_iter().filter_map(text).collect()
}

/// Whether nothing is in it that a terminal obeys, but line ends.
fn is_harmless(text: &str) -> bool {
    let bidi = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(|c| c.is_control() && c != '\n' || bidi(c))
}

on_both! {
    async fn what_is_piped_in_is_said_once_and_in_order(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        assert_eq!(app.chat(&ada, &["general"], "hi\n").await.ok(), "");
        assert_eq!(app.chat(&ada, &["general"], "no line end").await.ok(), "");
        assert_eq!(app.chat(&ada, &[], "").await.ok(), "", "nothing is said by saying nothing");
        let lines: Vec<String> = (1..=300).map(|n| format!("line {n}")).collect();
        assert_eq!(app.chat(&ada, &[], &format!("{}\n\n  \n", lines.join("\r\n"))).await.ok(), "");
        let expected: Vec<String> = ["hi", "no line end"].map(str::to_owned).into_iter().chain(lines).collect();
        assert_eq!(texts(&bob, "general").await, expected);
    }

    async fn too_fast_is_waited_for(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.send_rate = 20;
            settings.send_burst = 2;
        }).await;
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        let lines: Vec<String> = (1..=10).map(|n| n.to_string()).collect();
        app.chat(&ada, &[], &lines.join("\n")).await.ok();
        assert_eq!(texts(&bob, "general").await, lines);
    }

    async fn as_json_each_acknowledgement_is_a_line(app: TestApp) {
        let ada = app.register("ada").await;
        let out = app.chat(&ada, &["--json"], "one\ntwo\n").await.ok();
        let said: Vec<Event> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [Event::Message(one), Event::Message(two)] = said.as_slice() else { panic!("{out}") };
        assert_eq!((one.text.as_str(), two.text.as_str(), two.seq), ("one", "two", one.seq.next()));
    }

    async fn who_follows_sees_the_latest_and_then_what_is_said(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.register("bob").await);
        for n in 1..=5 {
            ada.post("general", &format!("no. {n}")).await;
        }
        let mut json = app.following(&bob, &["general", "--json", "--last", "2"]);
        let mut text = app.following(&bob, &["general", "--last", "2"]);
        // The last two, and, sooner or later, who is here.
        let (mut said, mut here) = (Vec::new(), false);
        while said.len() < 2 || !here {
            match serde_json::from_str(&json.prints("").await).unwrap() {
                Event::Message(message) => said.push(message.text),
                Event::Presence(presence) => here = presence.users.iter().any(|person| person.user == "bob"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(said, ["no. 4", "no. 5"]);
        let first = text.prints("").await;
        assert!(first.ends_with(" ada: no. 4"), "{first:?}");
        text.prints("no. 5").await;
        ada.post("general", "live").await;
        let said: Value = serde_json::from_str(&json.prints("live").await).unwrap();
        assert_eq!((&said["type"], &said["user"], &said["seq"]), (&"message".into(), &"ada".into(), &8.into()));
        let line = text.prints("live").await;
        assert!(line.starts_with("20") && line.ends_with(" ada: live"), "{line:?}");
        // Both ways at once.
        text.type_in("and I hear myself").await;
        assert!(text.prints("hear myself").await.ends_with(" bob: and I hear myself"));
        app.sign_up("grace").await;
        assert!(text.prints("grace").await.ends_with(" * grace joined"));
    }

    async fn a_server_that_is_killed_leaves_no_hole_and_nothing_twice(engine: Engine) {
        let data = tempfile::tempdir().unwrap();
        let url = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Postgres::shared().database().await),
        };
        let start = |addr: &str| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_snug"));
            // More than is told again, so that the rest has to be read.
            command.args(["serve", "--addr", addr, "--replay-max", "20"]);
            command.args(["--send-rate", "100000", "--send-burst", "100000", "--command-rate", "100000"]);
            command.arg("--data").arg(data.path()).envs(url.as_deref().map(|url| ("DATABASE_URL", url)));
            Program::run(command)
        };
        let server = start("127.0.0.1:0");
        let address = server.address();
        let (ada, bob) = (Bot::at(address).register("ada").await, Bot::at(address).register("bob").await);
        let url = format!("http://{address}");
        let mut follower = following(&url, &bob, &["general", "--json"]);
        let mut sender = following(&url, &ada, &["general", "--json"]);
        let mut seqs: Vec<i64> = Vec::new();
        let mut said = 0;
        let mut server = Some(server);
        for round in 0..3 {
            for _ in 0..20 {
                said += 1;
                sender.type_in(&format!("no. {said}")).await;
            }
            // In its midst.
            follower_until(&mut follower, &mut seqs, &format!("no. {}\"", said - 10)).await;
            tokio::task::block_in_place(|| server.take().unwrap().kill());
            said += 1;
            sender.type_in(&format!("no. {said}")).await;
            server = Some(start(&address.to_string()));
            if round == 1 {
                // More than one page of what was missed.
                for n in 0..130 {
                    ada.say("general", &format!("by REST {n}")).await;
                }
            }
            follower_until(&mut follower, &mut seqs, &format!("no. {said}\"")).await;
        }
        ada.say("general", "the end").await;
        follower_until(&mut follower, &mut seqs, "the end").await;
        let last = seqs.last().copied().unwrap();
        assert_eq!(seqs, (seqs[0]..=last).collect::<Vec<_>>(), "each once, in order");
        let mut texts = Vec::new();
        let mut after = Seq(0);
        loop {
            let page = ada.get(&format!("/api/rooms/general/messages?after={after}")).await;
            let page: snug::protocol::api::Messages = page.json();
            texts.extend(page.events.into_iter().filter_map(|event| match event {
                snug::protocol::api::Logged::Message(message) if message.text.starts_with("no.") => Some(message.text),
                _ => None,
            }));
            match page.after {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(texts, (1..=said).map(|n| format!("no. {n}")).collect::<Vec<_>>(), "and so was what was sent");
    }

    async fn what_is_refused_is_said_and_the_rest_arrives(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.text_max = 10).await;
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        let said = app.chat(&ada, &[], "one\nmuch too long to be said\nthree\n").await;
        let long = Refusal::TooLong { field: snug::protocol::Field::Text, max: 10 };
        assert_eq!(said.error, format!("snug: line 2 was refused: {long}\nsnug: 1 line was refused\n"));
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
        assert_eq!(texts(&bob, "general").await, ["one", "three"]);
    }

    async fn rooms_that_take_nothing_say_why(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        bob.create_room("Tea").await;
        assert_eq!(app.chat(&ada, &["tea"], "hi").await.refusal(), "you are not a member of tea: add --join to become one");
        assert_eq!(app.chat(&ada, &["#tea", "--join"], "hi").await.ok(), "");
        assert_eq!(texts(&bob, "tea").await, ["hi"]);
        let none = |name| format!("there is no room {name}: rooms are named as in their address, such as general");
        for room in ["nowhere", "No Room"] {
            assert_eq!(app.chat(&ada, &[room, "--join"], "hi").await.refusal(), none(room));
        }
        bob.ask::<()>("close_room", &[("room", "tea")]).await.unwrap();
        let refusal = app.chat(&ada, &["tea"], "hi").await.refusal();
        assert_eq!(refusal, "tea is closed: it can be read (--follow), but nothing can be said there");
        app.following(&ada, &["tea"]).prints("bob closed the room").await;
        let grace = app.register("grace").await;
        assert_eq!(app.chat(&grace, &["tea", "--join"], "hi").await.refusal(), refusal);
        // The address of a room's page is one, too.
        let page = format!("{}/room/general", app.url());
        snug_chat(&["chat", &page], &[("SNUG_TOKEN", ada.token())], "here").await.ok();
        assert_eq!(texts(&bob, "general").await, ["here"]);
    }

    async fn reconnecting_makes_nobody_a_member(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        let mut follower = app.following(&ada, &["general"]);
        bob.post("general", "hello").await;
        follower.prints("hello").await;
        ada.act("/api/rooms/general/leave").await;
        follower.ends().await;
        let room: Room = ada.get("/api/rooms/general").await.json();
        assert!(!room.member);
        let mut random = app.following(&ada, &["random", "--join"]);
        random.prints("ada joined").await;
        let room: Room = ada.get("/api/rooms/general").await.json();
        assert!(!room.member, "one is in no room but those that one names");
    }

    async fn without_a_good_token_it_ends_with_one_clear_line(app: TestApp) {
        let ada = app.register("ada").await;
        let url = app.url();
        let chat = async |env: &[(&str, &str)]| snug_chat(&["chat", &url], env, "hi").await.refusal();
        let old = "the token in SNUG_TOKEN is worth nothing, or nothing any more: log in for a new one";
        assert_eq!(chat(&[("SNUG_TOKEN", "eyJhbGciOiJub25lIn0.e30.")]).await, old);
        assert_eq!(chat(&[("SNUG_TOKEN", "two\nlines")]).await, "what SNUG_TOKEN has is no token");
        // Without a terminal there is nobody to ask.
        assert_eq!(chat(&[]).await, "SNUG_TOKEN has no token, and there is no terminal to ask for a password at");
        // One that ends meanwhile.
        let mut follower = app.following(&ada, &["general"]);
        app.sign_up("bob").await.post("general", "hello").await;
        follower.prints("hello").await;
        ada.act("/api/auth/logout").await;
        follower.ends().await;
        assert_eq!(chat(&[("SNUG_TOKEN", ada.token())]).await, old);
    }

    async fn hostile_text_never_reaches_the_terminal_as_it_is(app: TestApp) {
        let mut app = app;
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        for n in 0..HOSTILE.len() {
            bob.say("general", &format!("hostile {n}")).await;
        }
        bob.say("general", "the last").await;
        // Past the server, which takes the worst out: it may be a hostile one.
        app.stop().await;
        for (n, text) in HOSTILE.iter().enumerate() {
            app.sql(&format!("UPDATE messages SET text = '{text}' WHERE text = 'hostile {n}'")).await.unwrap();
        }
        app.sql("UPDATE users SET display_name = '\x1b[31mB\u{202e}ob' WHERE username = 'bob'").await.unwrap();
        app.sql("UPDATE rooms SET name = '\x1b]0;G\x07', topic = '\x1b[2J' WHERE slug = 'general'").await.unwrap();
        app.start_again().await;
        let mut json = app.following(&ada, &["general", "--json"]);
        let mut text = app.following(&ada, &["general"]);
        let mut screen = app.terminal(&ada, &[], (100, 30));
        for sent in HOSTILE {
            let line = json.prints("\"message\"").await;
            assert!(is_harmless(&line), "{line:?}");
            let Event::Message(message) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
            assert_eq!(message.text, sent, "JSON says what was said");
            let line = text.prints(" bob: ").await;
            assert!(is_harmless(&line) && line.len() > 30, "{line:?}");
        }
        let shown = screen.shows("the last").await;
        assert!(shown.contains("␛[2J␛[H␛[31mred") && shown.contains("<202E>gnp.exe"), "{shown}");
        assert!(is_harmless(&shown), "{shown:?}");
        let written = screen.written();
        for sequence in ["\x1b]0;", "\x1b]52", "\u{9b}", "\u{202e}", "\u{2028}", "\x08", "\x07"] {
            assert!(!written.contains(sequence), "{sequence:?}");
        }
    }
}

/// Notes the places of what is followed, up to a line in which `wanted` is.
async fn follower_until(follower: &mut Tool, seqs: &mut Vec<i64>, wanted: &str) {
    loop {
        let line = follower.prints("\"type\"").await;
        let event: Event = serde_json::from_str(&line).unwrap();
        if let Some((_, seq)) = event.place() {
            seqs.push(seq.0);
        }
        if line.contains(wanted) {
            return;
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_in_one_line() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nowhere}");
    let chat = async |args: &[&str]| snug_chat(args, &[("SNUG_TOKEN", "eyJ")], "hi").await.refusal();
    let refusal = chat(&["chat", &url, "--patience", "1"]).await;
    assert!(refusal.starts_with(&format!("{url} cannot be reached: ")) && refusal.ends_with("; tried for 1 s"), "{refusal}");
    assert!(chat(&["chat", "chat.example.org"]).await.contains("begins with https:// or http://"));
    assert!(chat(&["chat", "https://ada:secret@example.org"]).await.starts_with("leave name and password out"));
}

#[tokio::test]
async fn what_is_no_snug_is_said_in_one_line() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for (answer, said) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "there is no Snug at "),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "there is no Snug at "),
        ("SSH-2.0-OpenSSH_9.2\r\n", "there is no Snug at "),
        ("HTTP/1.1 301 Moved\r\nlocation: https://chat.example.org/\x07\r\ncontent-length: 0\r\n\r\n", "there is no Snug at "),
        (
            "HTTP/1.1 301 Moved\r\nlocation: https://chat.example.org/\r\ncontent-length: 0\r\n\r\n",
            "sends one on to https://chat.example.org/",
        ),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            String::from_utf8_lossy(&asked).into_owned()
        });
        let refusal = snug_chat(&["chat", &url, "--patience", "0"], &[("SNUG_TOKEN", "eyJ")], "hi").await.refusal();
        assert!(refusal.contains(said), "{answer:?}: {refusal}");
        let asked = serving.await.unwrap();
        assert!(asked.starts_with("GET /api/me ") && asked.contains("Bearer eyJ"), "{asked}");
    }
}

/// Speaks TLS before the server, as a proxy does, with a certificate of its own making: its port, and that certificate.
async fn behind_tls(server: std::net::SocketAddr) -> (u16, String) {
    use tokio_rustls::rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer};
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config =
        ServerConfig::builder_with_provider(ring::default_provider().into()).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // One that does not trust it goes away.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
                let _cut_off = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, made.cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_a_server_is_trusted_by_what_the_machine_trusts() {
    let app = TestApp::start(Engine::Sqlite).await;
    let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
    let (port, certificate) = behind_tls(app.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem").display().to_string();
    std::fs::write(&file, certificate).unwrap();
    let url = format!("https://127.0.0.1:{port}/");
    let chat = async |file: &str| {
        let env = [("SNUG_TOKEN", ada.token()), ("SSL_CERT_FILE", file), ("SSL_CERT_DIR", "/nowhere")];
        snug_chat(&["chat", &url, "--patience", "5"], &env, "over TLS").await
    };
    assert_eq!(chat(&file).await.ok(), "");
    assert_eq!(texts(&bob, "general").await, ["over TLS"]);
    // Nobody vouches for it, and it is not asked twice.
    let (_, other) = behind_tls(app.address()).await;
    std::fs::write(&file, other).unwrap();
    let refusal = chat(&file).await.refusal();
    assert!(refusal.starts_with(&format!("https://127.0.0.1:{port} cannot be trusted: ")), "{refusal}");
    assert!(chat("/nowhere/ca.pem").await.refusal().contains("names no authorities to trust"));
    assert_eq!(texts(&bob, "general").await, ["over TLS"]);
}

#[test]
fn what_is_for_the_client_is_no_setting_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_snug"));
    command.args(["serve", "--addr", "127.0.0.1:0", "--data"]).arg(folder.path());
    drop(Program::run({
        command.env("SNUG_TOKEN", "eyJ").env("SNUG_USER", "ada");
        command
    }));
}

on_both! {
    async fn two_people_talk_on_whole_terminals(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        let mut hers = app.terminal(&ada, &[], (120, 40));
        let mut his = app.terminal(&bob, &["general"], USUAL);
        hers.shows("● connected").await;
        his.shows("● connected").await;
        hers.shows("Here 2").await;
        hers.enter("good morning").await;
        his.shows("ada good morning").await;
        hers.shows_that("her own message, arrived", |shown| shown.contains("ada good morning") && !shown.contains("… ")).await;
        // Several lines, by two keys; and words that are taken out again.
        his.press("first\x1b\rsecond\nthird wrong\x17").await;
        his.press("\r").await;
        hers.shows_that("three rows", |shown| {
            shown.contains("bob first ") && shown.contains(" second ") && shown.contains(" third ") && !shown.contains("wrong")
        }).await;
        // Pasted at once, line ends and all, it is not sent yet.
        his.press("\x1b[200~pasted\rtext\x1b[201~").await;
        his.shows("pasted").await;
        his.press(" here\r").await;
        hers.shows("text here").await;
        let log = bob.get("/api/rooms/general/messages").await.body;
        assert!(log.contains("first\\nsecond\\nthird") && log.contains("pasted\\ntext here"), "{log}");
        // Ending gives the terminal back as it was.
        assert!(his.is_whole());
        his.press("\x03").await;
        assert!(his.ended().await.success());
        assert!(!his.is_whole());
        hers.shows("Here 1").await;
    }

    async fn older_messages_come_as_one_scrolls_up_and_the_place_stays(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.command_rate = 100_000).await;
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        for n in 1..=130 {
            bob.say("general", &format!("no. {n:03}")).await;
        }
        let mut screen = app.terminal(&ada, &[], USUAL);
        screen.shows("no. 130").await;
        let mut presses = 0;
        while !screen.shown().contains("no. 001") {
            let before = screen.shown();
            screen.press("\x1b[5~").await;
            screen.shows_that("something older", |shown| shown != before).await;
            presses += 1;
            assert!(presses < 40, "{}", screen.shown());
        }
        let top = screen.shows("ada joined").await;
        assert!(top.contains("Today") && !top.contains("no. 130"), "{top}");
        // What comes below moves nothing, and is counted.
        bob.say("general", "news").await;
        let shown = screen.shows("1 new").await;
        assert!(shown.contains("no. 001") && !shown.contains("bob news"), "{shown}");
        // The wheel, and the way back.
        screen.press("\x1b[<65;40;10M\x1b[<65;40;10M").await;
        screen.hides("ada joined").await;
        screen.press("\x1b").await;
        screen.shows("news").await;
        screen.hides("1 new").await;
    }

    async fn rooms_are_turned_and_what_is_seen_is_read(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        for bot in [&ada, &bob] {
            bot.act("/api/rooms/random/join").await;
        }
        let unread = async |room: &str| ada.get(&format!("/api/rooms/{room}")).await.json::<Room>().unread;
        let mut screen = app.terminal(&ada, &["general"], USUAL);
        screen.shows("● connected").await;
        bob.say("random", "something else").await;
        bob.say("random", "and more").await;
        screen.shows_that("two unread", |shown| shown.lines().any(|line| line.contains("random") && line.contains(" 2 "))).await;
        bob.say("general", "read at once").await;
        screen.shows("read at once").await;
        eventually("what is on the screen is read", async || (unread("general").await == 0).then_some(())).await;
        assert_eq!(unread("random").await, 2, "what is not, is not");
        screen.press("half a thought").await;
        screen.shows("half a thought").await;
        screen.press("\t").await;
        let shown = screen.shows("something else").await;
        assert!(shown.contains("─ new ─") && !shown.contains("read at once"), "{shown}");
        eventually("what is on the screen is read", async || (unread("random").await == 0).then_some(())).await;
        assert!(!screen.shown().contains("half a thought"), "a draft is of its room");
        // Back, by another key.
        screen.press("\x10").await;
        let shown = screen.shows("read at once").await;
        assert!(shown.contains("half a thought"), "{shown}");
    }

    async fn rooms_are_joined_and_left_at_the_terminal(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        bob.create_room("Tea").await;
        bob.post("tea", "the kettle is on").await;
        let mut screen = app.terminal(&ada, &["tea"], USUAL);
        screen.shows("Press Enter to join").await;
        // Joining goes by the line, which may come after the page.
        screen.shows("● connected").await;
        screen.press("\r").await;
        screen.shows("the kettle is on").await;
        screen.enter("thank you").await;
        eventually("it arrives", async || (texts(&bob, "tea").await.len() == 2).then_some(())).await;
        screen.enter("/leave").await;
        screen.shows("Press Enter to join").await;
        assert!(!ada.get("/api/rooms/tea").await.json::<Room>().member);
        screen.enter("/join nowhere").await;
        screen.shows("There is no such room").await;
        screen.enter("/join tea").await;
        screen.shows("the kettle is on").await;
        screen.enter("/dance").await;
        screen.shows("There is no command /dance").await;
        screen.press("\x15//me dances\r").await;
        eventually("it is said", async || texts(&bob, "tea").await.contains(&"/me dances".to_owned()).then_some(())).await;
        bob.ask::<()>("close_room", &[("room", "tea")]).await.unwrap();
        screen.shows("bob closed the room").await;
        screen.shows("This room is closed").await;
        screen.enter("is it?").await;
        let shown = screen.shows("Not sent: This room is closed").await;
        assert!(shown.contains("! ada is it?") || shown.contains("!  ada is it?"), "{shown}");
        screen.press("\x1b[A").await;
        screen.hides("Not sent").await;
        screen.shows("is it?").await;
    }

    async fn a_server_that_comes_back_finds_what_was_written_meanwhile(app: TestApp) {
        let mut app = app;
        let address = app.address();
        app.set(|settings| settings.addr = address);
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        let mut screen = app.terminal(&ada, &[], USUAL);
        screen.shows("● connected").await;
        app.stop().await;
        screen.shows("reconnecting").await;
        screen.enter("written while it was away").await;
        screen.shows("… ada written").await;
        screen.shows("1 waiting").await;
        // It is not given up without a word.
        screen.press("\x03").await;
        screen.shows("1 message has not arrived yet").await;
        app.start_again().await;
        bob.say("general", "back again").await;
        screen.press("\x12").await;
        let both = |shown: &str| shown.contains("back again") && !shown.contains("… ada");
        let shown = screen.shows_that("both, arrived", both).await;
        assert_eq!(shown.matches("written while it was away").count(), 1, "{shown}");
        let log = bob.get("/api/rooms/general/messages").await.body;
        assert_eq!(log.matches("written while it was away").count(), 1, "{log}");
    }

    async fn one_logs_in_at_the_terminal_and_out_at_the_end(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut screen = Terminal::run(&["chat", &app.url()], &[], USUAL);
        screen.shows("Username or e-mail: ").await;
        screen.enter("ada@example.org").await;
        screen.shows("Password: ").await;
        screen.enter("not the right one").await;
        screen.shows(&Refusal::WrongPassword.to_string()).await;
        screen.enter("ada").await;
        screen.shows_that("a second question", |shown| shown.matches("Password: ").count() == 2).await;
        screen.enter(PASSWORD).await;
        screen.shows("● connected").await;
        let logins = async || ada.ask::<Vec<LoginItem>>("list_logins", &[]).await.unwrap();
        let made: Vec<_> = logins().await.into_iter().filter(|login| !login.current).collect();
        assert_eq!(made.iter().map(|login| login.program.as_str()).collect::<Vec<_>>(), ["snug-chat"]);
        screen.press("\x11").await;
        assert!(screen.ended().await.success());
        assert_eq!(logins().await.len(), 1, "the login that was made has ended");
        assert!(!screen.written().contains(PASSWORD), "a password is not shown");
        // With the name given, and a password that is wrong for good.
        let mut screen = Terminal::run(&["chat", &app.url()], &[("SNUG_USER", "ada")], USUAL);
        for n in 1..=3 {
            screen.shows_that("a question", |shown| shown.matches("Password: ").count() == n).await;
            screen.enter("nor this one").await;
        }
        screen.shows(&format!("snug: {}", Refusal::WrongPassword)).await;
        assert_eq!(screen.ended().await.code(), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_size_of_screen_shows_what_matters() {
    let app = TestApp::start(Engine::Sqlite).await;
    let (ada, bob) = (app.register("ada").await, app.register("bob").await);
    bob.say("general", "a text that is long enough to be broken into rows when the screen is narrow").await;
    let mut screen = app.terminal(&ada, &[], (120, 40));
    screen.shows("Here 1").await;
    screen.resize((40, 12));
    screen
        .shows_that("rows without a pane beside", |shown| {
            // The program has heard of it.
            let drawn = shown.contains("F1 keys · Tab room") && shown.contains("is narrow");
            drawn && !shown.contains("Here 1") && shown.lines().all(|line| line.chars().count() <= 40)
        })
        .await;
    screen.press("\x1bOP").await;
    screen.shows("Alt+Enter").await;
    screen.press("x").await;
    screen.hides("Alt+Enter").await;
    screen.resize((20, 5));
    screen.shows_that("as much as there is room for", |shown| shown.lines().all(|line| line.chars().count() <= 20)).await;
    screen.resize(USUAL);
    screen.shows("F1 keys · Enter send").await;
    bob.act("/api/rooms/random/join").await;
    screen.shows("● connected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_given_back_whatever_ends_the_program() {
    use rustix::process::{Pid, Signal, kill_process};
    let app = TestApp::start(Engine::Sqlite).await;
    let ada = app.register("ada").await;
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut screen = app.terminal(&ada, &[], USUAL);
        screen.shows("● connected").await;
        assert!(screen.is_whole());
        kill_process(Pid::from_raw(i32::try_from(screen.pid()).unwrap()).unwrap(), signal).unwrap();
        assert!(screen.ended().await.success());
        assert!(!screen.is_whole() && screen.written().contains("\x1b[?25h"), "{signal:?}");
    }
    // A login that ends elsewhere is said after that, where it can be read.
    let mut screen = app.terminal(&ada, &[], USUAL);
    screen.shows("● connected").await;
    ada.act("/api/auth/logout").await;
    assert_eq!(screen.ended().await.code(), Some(1));
    assert!(!screen.is_whole() && screen.shown().contains("your login has ended"), "{}", screen.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_colour_there_is_none() {
    let app = TestApp::start(Engine::Sqlite).await;
    let ada = app.register("ada").await;
    app.register("bob").await.say("general", "in black and white").await;
    let env = [("SNUG_TOKEN", ada.token()), ("NO_COLOR", "1")];
    let mut screen = Terminal::run(&["chat", &app.url()], &env, USUAL);
    screen.shows("in black and white").await;
    screen.shows("● connected").await;
    let written = screen.written();
    let colours = written.split("\x1b[").skip(1).filter_map(|part| part.split_once('m')).map(|(codes, _)| codes);
    let coloured: Vec<&str> =
        colours.filter(|codes| codes.split(';').any(|code| matches!(code.parse(), Ok(30..=38 | 90..=97_u32)))).collect();
    assert_eq!(coloured, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn by_lines_on_a_terminal_for_who_reads_by_ear() {
    let app = TestApp::start(Engine::Sqlite).await;
    let (ada, bob) = (app.register("ada").await, app.register("bob").await);
    bob.say("general", "good morning").await;
    let mut screen = app.terminal(&ada, &["--plain"], USUAL);
    screen.shows("bob: good morning").await;
    assert!(!screen.is_whole());
    screen.enter("and to you").await;
    screen.shows("ada: and to you").await;
    // The end of what is typed is the end.
    screen.press("\x04").await;
    assert!(screen.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_password_is_asked_for_twice_and_not_shown() {
    let app = TestApp::start(Engine::Sqlite).await;
    let data = app.data().to_str().unwrap();
    let args = ["admin", "--data", data, "create-user", "grace", "grace@example.org"];
    let mut screen = Terminal::run(&args, &[], USUAL);
    screen.shows("Password: ").await;
    screen.enter(PASSWORD).await;
    screen.shows("Once more: ").await;
    screen.enter(PASSWORD).await;
    screen.shows("grace has an account").await;
    assert!(screen.ended().await.success());
    assert!(!screen.written().contains(PASSWORD));
    app.visitor().log_in("grace", PASSWORD).await;
    let mut screen = Terminal::run(&["admin", "--data", data, "set-password", "grace"], &[], USUAL);
    screen.shows("Password: ").await;
    screen.enter("a louder harbour at dawn").await;
    screen.shows("Once more: ").await;
    screen.enter("a louder harbour at noon").await;
    assert_eq!(screen.ended().await.code(), Some(1));
}
