//! What strangers try: writes from other sites, texts and names that are meant to harm, names that can be guessed, and connections that
//! are slow on purpose. (Throttles have tests of their own.)

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use snug::protocol::{Command, Event, Field, FoundRooms, LoginItem, Refusal, Seq};
use sqlx::{Connection, Executor, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::interval;

use super::pages::ACTIONS;
use crate::support::{
    Closed, Engine, PASSWORD, Person, Program, Secrets, Socket, TestApp, message, new_id, on_both, said, slug, within,
};

/// What must be shown as it was written, and never be markup, a script or a link that runs one.
const HARMFUL: [&str; 22] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script href=data:,alert(1) />",
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>alert(1)</script>-->",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<iframe src=javascript:alert(1)>",
    "<style>@import'https://evil.example'</style>",
    "<base href=https://evil.example>",
    "<form action=https://evil.example><button>x",
    "\" onmouseover=\"alert(1)",
    "' onfocus='alert(1)' autofocus='",
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<ScRiPt>alert(1)</sCrIpT>",
    "<leptos-island data-component=\"Evil\"></leptos-island>",
];

/// Texts in which something is a link, or looks like one, and what may be its address.
const LINKS: [&str; 9] = [
    "see https://example.org/\"onmouseover=\"alert(1)",
    "see https://example.org/'onmouseover='alert(1)",
    "see https://example.org/<script>alert(1)</script>",
    "see https://example.org/`x` and javascript:alert(1)//https://example.org",
    "data:text/html,<script>alert(1)</script> https://example.org",
    "vbscript:msgbox(1) HTTPS://example.org",
    "file:///etc/passwd",
    "https://",
    "> https://example.org/\n```\nhttps://example.org/<b>\n```",
];

/// Every element of a page that could do harm, as its opening tag; and every address that something leads to.
fn dangerous(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for tag in page.split('<').skip(1).map(|rest| rest.split_once('>').map_or(rest, |(tag, _)| tag)) {
        // Attributes are quoted, and what is in them is not markup.
        let mut outside = String::new();
        for (n, part) in tag.split('"').enumerate() {
            if n % 2 == 0 {
                outside.push_str(part);
                continue;
            }
            let (inside, leads) = (part.trim_start().to_lowercase(), |name: &str| outside.ends_with(name));
            let here = inside.starts_with(['/', '#', '?']) && !inside.starts_with("//");
            let web = inside.starts_with("https://") || inside.starts_with("http://");
            if !here && (leads("src=") || leads("action=") || leads("href=") && !web) {
                found.push(format!("leads to {part}"));
            }
        }
        let lower = outside.to_lowercase();
        let named = |name: &str| lower.starts_with(name) && !lower[name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric());
        let handler = lower.split_whitespace().any(|word| word.starts_with("on") && word.contains('='));
        let element = ["iframe", "object", "embed", "base", "style"].iter().any(|name| named(name));
        if handler || element || lower.contains("alert(1)") || lower.contains("component=evil") || lower.contains('\'') {
            found.push(outside);
        }
    }
    // Our own scripts have the nonce of the page, or are files of ours.
    for script in page.split("<script").skip(1) {
        let (tag, rest) = script.split_once('>').unwrap_or((script, ""));
        let body = rest.split("</script").next().unwrap_or_default();
        if !tag.contains("nonce=\"") || body.contains("alert(1)") {
            found.push(format!("<script{tag}>{body}"));
        }
    }
    found
}

on_both! {
    async fn what_people_write_stays_text_wherever_it_is_shown(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let agent = "Mozilla/5.0 <script>alert(1)</script>\" onload=\"alert(1)";
        let body = Some(format!("name=ada&password={}", PASSWORD.replace(' ', "+")));
        let headers = [("accept", "application/json"), ("origin", &*ada.origin()), ("user-agent", agent)];
        assert_eq!(app.visitor().request(Method::POST, "/actions/log_in", &headers, body).await.status, 200);
        ada.create_room("Garden").await;
        bob.join("garden").await;
        let mut socket = ada.live().await;
        for text in HARMFUL.iter().chain(&LINKS) {
            socket.say("garden", text).await;
            // Rooms are called so, and are about it.
            let topic = format!("all about {text}");
            let reply = ada.post_json("create_room", &[("name", &text.chars().take(64).collect::<String>()), ("topic", &topic)]).await;
            assert!(matches!(reply.status, 200 | 422), "{}", reply.body);
        }
        let rooms: Vec<String> = ada.rooms().await.iter().map(|item| format!("/room/{}", item.room)).collect();
        let mut paths: Vec<String> = ["/", "/settings", "/new-room", "/shortcuts", "/?q=alert", "/?page=2"].map(str::to_owned).to_vec();
        paths.extend(rooms);
        for text in HARMFUL {
            let said: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            paths.extend([format!("/?q={said}"), format!("/new-room?name={said}"), format!("/room/{said}"), format!("/{said}"), format!("/room/garden?at={said}")]);
        }
        for reader in [&ada, &bob] {
            for path in &paths {
                let page = reader.get(path).await;
                assert!(page.status < 500, "{path}: {}", page.status);
                assert_eq!(dangerous(&page.body), Vec::<String>::new(), "{path}");
            }
        }
        let page = ada.get("/room/garden").await.body;
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "it is shown as it was written");
        assert!(page.contains("href=\"https://example.org/"), "and what is a link is one");
        // Typed into a form that is refused, and into the address of a page.
        for text in HARMFUL {
            let said: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let fields = [("name", text), ("password", "wrong one"), ("next", text), ("page", &format!("/login?next={said}"))];
            let login = app.visitor().post_form("log_in", &fields).await;
            let sign_up = app.visitor().post_form("sign_up", &[("email", text), ("username", text), ("password", "x"), ("page", text)]).await;
            let room = ada.post_form("create_room", &[("name", ""), ("topic", text), ("idle", text), ("page", "/new-room")]).await;
            let long = text.repeat(1000);
            let composer = ada.post_form("post_message", &[("room", "garden"), ("nonce", "x"), ("text", &long), ("page", "/room/garden")]).await;
            let door = app.visitor().get(&format!("/login?next={said}&name={said}")).await;
            let door_too = app.visitor().get(&format!("/signup?email={said}&username={said}&__err={said}&__path={said}")).await;
            for page in [login, sign_up, room, composer, door, door_too] {
                assert!(page.status < 500);
                assert_eq!(dangerous(&page.body), Vec::<String>::new(), "{text}");
            }
        }
    }

    async fn under_https_browsers_are_told_to_stay_with_it(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.public_url = Some("https://chat.example.org".parse().unwrap())).await;
        let ada = app.sign_up("ada").await;
        for path in ["/", "/login", "/nothing", "/healthz", "/ws", "/api/me", "/api/nothing", "/actions/log_out", "/favicon.svg"] {
            let reply = ada.get(path).await;
            assert_eq!(reply.header("strict-transport-security"), "max-age=31536000", "{path}");
            assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
            assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        }
        let plain = TestApp::start(engine).await;
        assert_eq!(plain.visitor().get("/login").await.header("strict-transport-security"), "", "it would lock out who has no TLS");
    }

    async fn hostile_names_are_refused_at_every_door(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let bot = app.bot().log_in("ada").await;
        // Turned round, hidden, piled up, of control characters, or not a name at all.
        let hostile = [
            "\u{202e}nimda", "ad\u{200b}min", "a\u{2066}b\u{2069}", "a\u{feff}b", "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}x", "a\u{0}b",
            "a\u{7f}b", "a\u{e0041}b", "x\u{ad}y", "a\u{2028}b",
        ];
        for name in hostile {
            for (n, door) in ["form", "action", "rest"].into_iter().enumerate() {
                let email = format!("h{n}@example.org");
                let reply = match door {
                    "form" => app.visitor().post_form("sign_up", &[("email", &email), ("username", name), ("password", PASSWORD), ("page", "/signup")]).await,
                    "action" => app.visitor().post_json("sign_up", &[("email", &email), ("username", name), ("password", PASSWORD)]).await,
                    _ => app.bot().post("/api/auth/register", json!({ "email": email, "username": name, "password": PASSWORD })).await,
                };
                assert_eq!(reply.status, 422, "{name:?} by {door}");
            }
            if name.contains('\u{2028}') {
                continue; // A space, in the name of a room, and becomes one.
            }
            let refusal = ada.ask::<()>("create_room", &[("name", name)]).await;
            assert_eq!(refusal, Err(Refusal::BadForm { field: Field::Name }), "{name:?}");
            assert_eq!(bot.post("/api/rooms", json!({ "name": name })).await.problem(), "bad_form", "{name:?}");
            assert_eq!(bot.post("/api/rooms", json!({ "name": "Tea", "topic": name })).await.problem(), "bad_form", "{name:?}");
        }
        for name in ["", " ", "\u{3000}", "a@b", "a b", "../etc", "a/b", "%00", "-", "a..b", &"x".repeat(33), "<b>"] {
            let reply = app.bot().post("/api/auth/register", json!({ "email": "e@example.org", "username": name, "password": PASSWORD })).await;
            assert_eq!(reply.status, 422, "{name:?}");
        }
        // Who looks like ada is not let in: another case, another alphabet, other widths, other compositions.
        app.sign_up("jose\u{301}").await;
        for (n, name) in ["ADA", "аda", "аdа", "ａｄａ", "𝐚𝐝𝐚", "Аdа", "jos\u{e9}"].into_iter().enumerate() {
            let fields = [("email", format!("l{n}@example.org")), ("username", name.to_owned()), ("password", PASSWORD.to_owned())];
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(app.visitor().ask::<()>("sign_up", &fields).await, Err(Refusal::TakenUsername), "{name}");
        }
        // What is fine from elsewhere is fine here, and stands apart from what is around it.
        let shalom = app.sign_up("שלום").await;
        shalom.post("general", "hello").await;
        let page = ada.get("/room/general").await.body;
        assert!(page.contains("<bdi>שלום</bdi>"), "a name is shown in isolation");
        assert!(ada.get("/").await.body.contains("<bdi>general</bdi>"));
    }

    async fn an_unknown_name_costs_what_a_wrong_password_costs(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.failed_logins = 10_000;
            settings.failed_logins_per_address = 10_000;
            settings.failed_logins_per_account = 10_000;
        }).await;
        app.sign_up("ada").await;
        app.sign_up("dis").await;
        assert_eq!(app.snug(&["admin", "disable", "dis"], "").await.code, Some(0));
        let client = app.visitor();
        let hashes = async || {
            let text = client.get("/metrics").await.body;
            let line = text.lines().find_map(|line| line.strip_prefix("snug_password_hashes_total ")).expect("they are counted");
            line.parse::<u64>().expect("a number")
        };
        let ask = async |name: &str, password: &str| {
            let reply = client.post_json("log_in", &[("name", name), ("password", password)]).await;
            assert_eq!((reply.status, reply.refusal()), (401, Refusal::WrongPassword), "{name}");
        };
        // Exactly the same work: one hash each, of the same parameters (which the hash of nobody has, see chat/passwords.rs).
        let too_long = "p".repeat(5000);
        for (name, password) in [("ada", "wrong one"), ("eve", "wrong one"), ("ada@example.org", "wrong one"), ("e@example.org", "wrong one"), ("dis", PASSWORD), ("dis", "wrong one"), ("ada", &too_long), ("eve", &too_long)] {
            let before = hashes().await;
            ask(name, password).await;
            assert_eq!(hashes().await - before, 1, "{name}");
        }
        // And so the same time. The machine is busy with other tests, which makes tries slower and none faster: the fastest of each
        // are compared, of as many tries in turn as it takes: a minute or two of them, where two builds run beside it. One that skipped
        // the hash would be ten times as fast, always.
        let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
        let alike = |known: Duration, unknown: Duration| (0.8..1.25).contains(&(known.as_secs_f64() / unknown.as_secs_f64()));
        for tried in 0..2000 {
            for (name, fastest) in [("ada", &mut known), ("eve", &mut unknown)] {
                let start = Instant::now();
                ask(name, "wrong one").await;
                *fastest = start.elapsed().min(*fastest);
            }
            if tried >= 20 && alike(known, unknown) {
                break;
            }
        }
        assert!(alike(known, unknown), "{known:?} with an account, {unknown:?} without");
    }

    async fn a_name_that_cannot_be_one_is_nobody_s(app: TestApp) {
        let bot = app.register("ada").await;
        for name in ["a\0da".to_owned(), "ada@example.org\0".to_owned(), "\u{fdfa}".repeat(5000), "é".repeat(9000)] {
            let reply = app.bot().post("/api/auth/login", json!({ "name": name, "password": PASSWORD })).await;
            assert_eq!((reply.status, reply.problem().as_str()), (401, "wrong_password"), "{name:.20}");
            let answer = app.visitor().ask::<()>("log_in", &[("name", &name), ("password", PASSWORD)]).await;
            assert_eq!(answer, Err(Refusal::WrongPassword), "{name:.20}");
        }
        assert_eq!(bot.get("/api/rooms/general/members?after=%00").await.status, 200);
        let ada = app.log_in("ada").await;
        assert_eq!(ada.get("/?q=%00").await.status, 200);
        assert_eq!(ada.ask::<FoundRooms>("find_rooms", &[("query", "a\0")]).await.unwrap().total, 0);
    }

    async fn the_database_holds_nothing_that_opens_a_door(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let bot = app.bot().log_in("ada").await;
        let ticket = bot.ticket().await;
        let session = ada.session().expect("who is logged in has one");
        let id = URL_SAFE_NO_PAD.decode(&session).expect("the cookie is base64");
        assert_eq!(id.len(), 16, "128 bits");
        assert!(app.holds(b"ada@example.org").await, "the search finds what is there");
        assert!(app.holds(b"$argon2id$v=19$m=19456,t=2,p=1$").await, "passwords are kept as hashes");
        let raw_ticket = URL_SAFE_NO_PAD.decode(&ticket).expect("a ticket is base64");
        for (what, secret) in [
            ("the session's cookie", session.as_bytes()), ("its bytes", &id), ("a token", bot.token().as_bytes()),
            ("its signature", bot.token().rsplit('.').next().unwrap().as_bytes()), ("a ticket", ticket.as_bytes()), ("its bytes", &raw_ticket),
            ("a password", PASSWORD.as_bytes()),
        ] {
            assert!(!app.holds(secret).await, "the database has {what}");
        }
        let mut reversed = id.clone();
        reversed.reverse();
        assert!(!app.holds(&reversed).await);
        // What it does have is not a session's name to the server.
        assert!(ada.whoami().await.is_some());
        let mut ids = BTreeSet::new();
        for _ in 0..20 {
            ids.insert(app.log_in("ada").await.session().expect("each login has one"));
        }
        assert_eq!(ids.len(), 20);
    }

    async fn no_write_comes_from_another_site_by_any_route_and_method(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let bot = app.bot().log_in("ada").await;
        // The list is whole: it is what the server itself answers.
        let there: BTreeSet<String> = leptos::server_fn::axum::server_fn_paths().map(|(path, _)| path.to_owned()).collect();
        let tried: BTreeSet<String> = ACTIONS.iter().map(|(action, _)| format!("/actions/{action}")).collect();
        assert_eq!(there, tried);
        let document: Value = app.bot().get("/api/openapi.json").await.json();
        let mut paths: Vec<String> = document["paths"].as_object().unwrap().keys().map(|path| path.replace("{slug}", "general")).collect();
        paths.extend(there);
        paths.extend(["/", "/login", "/signup", "/room/general", "/settings", "/ws", "/ws/general", "/healthz", "/readyz", "/metrics", "/api", "/api/", "/nothing"].map(str::to_owned));
        let before = (ada.rooms().await, ada.log("general").await);
        let bearer = format!("Bearer {}", bot.token());
        let cookies = ada.cookies();
        for path in &paths {
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                for from in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site")] {
                    // Even with everything that the browser could be made to bring along.
                    let headers = [("accept", "text/html"), ("content-type", "application/json"), ("authorization", bearer.as_str()), ("cookie", cookies.as_str()), from];
                    let reply = app.bot().request(method.clone(), path, &headers, Some("{}".to_owned())).await;
                    assert_eq!(reply.status, 403, "{method} {path} {from:?}");
                }
            }
            // What reads changes nothing, whatever it is asked with.
            for method in [Method::GET, Method::HEAD] {
                let headers = [("accept", "text/html"), ("origin", "https://evil.example"), ("authorization", bearer.as_str()), ("cookie", cookies.as_str())];
                let ends = path.ends_with("/log_out") || path.ends_with("/logout");
                let reply = app.bot().request(method.clone(), path, &headers, None).await;
                assert!(reply.status < 500, "{method} {path}: {}", reply.status);
                assert_eq!(reply.header("access-control-allow-origin"), "");
                assert!(!ends || ada.whoami().await.is_some(), "{method} {path}");
            }
        }
        assert_eq!((ada.rooms().await, ada.log("general").await), before);
        assert_eq!(bot.get("/api/me").await.status, 200);
    }

    async fn who_has_left_by_any_door_gets_nothing_more_by_any_other(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut speaker = ada.live().await;
        for door in ["form", "action", "rest", "socket"] {
            let user = format!("bob-{door}");
            let bob = app.sign_up(&user).await;
            let bot = app.bot().log_in(&user).await;
            let mut sockets = vec![bob.live().await, bot.socket("/ws").await.expect("a socket")];
            // A program is welcomed by itself.
            sockets[1].until(|event| matches!(event, Event::Welcome { .. })).await;
            let (seen, _) = speaker.say("general", &format!("before {door}")).await;
            for socket in &mut sockets {
                socket.message(&format!("before {door}")).await;
            }
            match door {
                "form" => assert_eq!(bob.post_form("leave_room", &[("room", "general")]).await.status, 303),
                "action" => bob.leave("general").await,
                "rest" => assert_eq!(bot.act("/api/rooms/general/leave").await.status, 204),
                _ => sockets[0].send(&Command::Leave { room: slug("general") }).await,
            }
            for socket in &mut sockets {
                socket.until(|event| matches!(event, Event::Left(left) if left.by.user == user)).await;
            }
            let secret = format!("not for {user}");
            speaker.say("general", &secret).await;
            // Nothing came by the sockets that were open.
            for socket in &mut sockets {
                assert_eq!(socket.drain().await, [], "{door}");
            }
            // Nor by one that comes back with what it had, one that looks, or one that writes.
            let mut again = bob.socket().await;
            let welcome = again.hello_with(&[("general", seen)], Some(ada.epoch().await), Some("general")).await;
            assert!(!welcome.has("general"));
            let (id, command) = message("general", "still me");
            again.send(&command).await;
            assert_eq!(again.refused(id).await, Refusal::NotMember);
            assert!(again.drain().await.iter().all(|event| event.place().is_none() && !format!("{event:?}").contains(&secret)));
            // Nor by a page, a server function, or the API.
            let seq = Seq::ZERO.to_string();
            for path in ["/", "/room/general", "/room/general?at=1", "/?q=general"] {
                assert!(!bob.get(path).await.body.contains(&secret), "{path}");
            }
            let page = bob.page("general").await;
            assert!(!page.member && page.events.is_empty() && page.here.users.is_empty());
            assert!(bob.page_after("general", Seq::ZERO).await.events.is_empty() && bob.page_at("general", Seq(1)).await.events.is_empty());
            for query in ["", "?after=0", "?before=99"] {
                assert_eq!(bot.get(&format!("/api/rooms/general/messages{query}")).await.problem(), "not_member");
            }
            assert_eq!(bot.get("/api/rooms/general/members").await.problem(), "not_member");
            assert_eq!(bot.post("/api/rooms/general/read", json!({ "seq": 1 })).await.problem(), "not_member");
            assert_eq!(bob.ask::<()>("mark_read", &[("room", "general"), ("seq", &seq)]).await, Err(Refusal::NotMember));
            assert_eq!(bot.post("/api/rooms/general/messages", json!({ "id": new_id(), "text": "still me" })).await.problem(), "not_member");
        }
        assert!(!ada.log("general").await.iter().any(|event| format!("{event:?}").contains("still me")));
    }

    async fn headers_that_are_too_many_are_refused(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let many: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(format!("GET /login HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        let _read = stream.read(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
        assert!(ada.whoami().await.is_some());
    }

    async fn who_dribbles_is_cut_off(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.header_timeout = 1;
            settings.body_timeout = 1;
            settings.idle_timeout = 1;
        }).await;
        let ada = app.sign_up("ada").await;
        let address = app.address();
        let cookies = ada.cookies();
        let post = format!("POST /actions/log_in HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
        let upgrade = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {cookies}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        // The head of a masked text frame of 1000 bytes.
        let frame: Vec<u8> = [&[0x81, 0xfe, 0x03, 0xe8, 1, 2, 3, 4], &*vec![b'x'; 1000]].concat();
        // What each is told: 408, and by a close frame (of 27 bytes) 4409.
        let dribbles: [(&str, String, Vec<u8>, &[u8]); 4] = [
            ("headers", "GET /login HTTP/1.1\r\nHost: x\r\nX-Long: ".to_owned(), vec![b'a'; 1000], b""),
            ("a body", format!("{post}Content-Length: 1000\r\n\r\nname="), vec![b'a'; 995], b"HTTP/1.1 408"),
            ("chunks", format!("{post}Transfer-Encoding: chunked\r\n\r\n"), b"1\r\na\r\n".repeat(200), b"HTTP/1.1 408"),
            ("a frame", upgrade, frame, b"\x88\x1b\x11\x39nothing came for too long"),
        ];
        let all = dribbles.into_iter().map(|(what, at_once, slowly, told)| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(at_once.as_bytes()).await.unwrap();
            let (mut reading, mut writing) = stream.into_split();
            // A byte now and then: never silent, and never done.
            let mut ticks = interval(Duration::from_millis(50));
            let dribble = async {
                for byte in slowly {
                    ticks.tick().await;
                    if writing.write_all(&[byte]).await.is_err() {
                        break;
                    }
                }
                std::future::pending::<()>().await;
            };
            let mut answer = Vec::new();
            let start = Instant::now();
            let cut_off = async {
                tokio::select! {
                    _end = reading.read_to_end(&mut answer) => {}
                    () = dribble => unreachable!("it never ends"),
                }
            };
            within(crate::support::PATIENCE, &format!("who dribbles {what} is cut off"), cut_off).await;
            assert!(start.elapsed() >= Duration::from_millis(700), "{what} was given no time: {}", String::from_utf8_lossy(&answer));
            assert!(memchr::memmem::find(&answer, told).is_some(), "{what}: {}", String::from_utf8_lossy(&answer));
        });
        futures_util::future::join_all(all).await;
        assert_eq!(app.visitor().get("/login").await.status, 200);
    }

    async fn whatever_comes_as_a_frame_is_answered_and_harms_nobody(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut listener = bob.live().await;
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        let nested = format!("{{\"type\":\"hello\",\"rooms\":{}1{}}}", "{\"a\":".repeat(3000), "}".repeat(3000));
        let many: String = (0..2000).map(|n| format!("\"room-{n}\":{n},")).collect();
        let rooms = format!("{{\"type\":\"hello\",\"rooms\":{{{}\"x\":1}}}}", many);
        for frame in [
            &deep, &nested, &rooms, "\u{0}", "{\"type\":\"send\",\"room\":\"general\",\"id\":\"00000000-0000-0000-0000-000000000000\",\"text\":\"\\u0000\"}",
            "{\"type\":\"hello\",\"rooms\":{\"general\":9223372036854775807}}", "{\"type\":\"hello\",\"rooms\":{\"general\":-9223372036854775808}}",
            "{\"type\":\"read\",\"room\":\"general\",\"seq\":9223372036854775807}", "{\"type\":\"read\",\"room\":\"general\",\"seq\":-1}",
            "{\"type\":\"read\",\"room\":\"general\",\"seq\":1e99}", "{\"type\":\"send\",\"room\":\"general\",\"id\":\"x\",\"text\":\"\\ud800\"}",
            "{\"type\":\"look\",\"room\":\"../..\"}", "{\"type\":\"join\",\"room\":\"\"}", "{\"type\":\"ping\",\"type\":\"pong\"}", "{\"type\":null}",
        ] {
            let mut socket = ada.socket().await;
            socket.send_text(frame).await;
            socket.send(&Command::Ping).await;
            socket.until(|event| *event == Event::Pong).await;
        }
        let mut socket = ada.live().await;
        socket.say("general", "all is well").await;
        listener.message("all is well").await;
    }
}

/// Ending a login takes its sockets with it, also where whoever ended it has hung up before it was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_is_carried_through_without_who_asked() {
    let app = TestApp::start(Engine::Postgres).await;
    let ada = app.sign_up("ada").await;
    let mut socket = app.log_in("ada").await.live().await;
    let logins: Vec<LoginItem> = ada.ask("list_logins", &[]).await.unwrap();
    let other = logins.iter().find(|login| !login.current).expect("the other one").id;
    let body = format!("id={other}");
    let request = format!(
        "POST /actions/end_login HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {}\r\nAccept: application/json\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        ada.cookies(),
        body.len(),
        address = app.address(),
    );
    let mut holding = PgConnection::connect(app.database_url().unwrap()).await.unwrap();
    holding.execute("BEGIN; SELECT 1 FROM logins FOR UPDATE").await.unwrap();
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    app.lock_is_waited_for().await;
    drop(stream);
    assert_eq!(app.visitor().get("/healthz").await.status, 200);
    holding.execute("COMMIT").await.unwrap();
    assert_eq!(socket.closed().await, Closed(Some(4401)));
}

/// What every test's server is held to when the test ends: see [`TestApp`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_the_run_is_kept_and_a_secret_in_it_would_be_found() {
    let app = TestApp::start(Engine::Sqlite).await;
    let ada = app.sign_up("ada").await;
    ada.post("general", "between us").await;
    let log = said(0);
    assert!(log.contains("answered 200") && log.contains("/actions/post_message"), "the servers' log is what is kept");
    let secrets = Secrets::default();
    secrets.keep_field("password", PASSWORD);
    secrets.keep_token("head.claims.signature");
    assert_eq!(secrets.told_by(&log), None);
    for line in [PASSWORD, "signature"] {
        let log = format!("{log}\nsomething of {line} is told\n");
        assert_eq!(secrets.told_by(&log), Some((line.to_owned(), format!("something of {line} is told"))));
    }
}

/// A person at a program of its own.
async fn newcomer(program: &Program, user: &str) -> Person {
    let address = std::sync::Arc::new(std::sync::RwLock::new(program.address()));
    crate::support::Visitor::new(crate::support::Visitor::client(), address, None).sign_up(user).await
}

/// 19 MiB a hash: two hundred at once would be four GB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_logins_takes_the_memory_of_those_that_are_hashed_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_snug"));
    command.args(["serve", "--addr", "127.0.0.1:0", "--data"]).arg(data.path());
    // That wrong ones are slowed is not what is looked at.
    command.args(["--failed-logins", "1000", "--failed-logins-per-account", "1000"]);
    let program = Program::run(command);
    let ada = newcomer(&program, "ada").await;
    let peak = || program.memory().1 / 1024 / 1024;
    let before = peak();
    let fields = [("name", "ada"), ("password", "wrong one")];
    let logins = (0..200).map(|_| async { app_free(&ada).post_json("log_in", &fields).await.status });
    let pages = async {
        for _ in 0..20 {
            assert_eq!(ada.get("/room/general").await.status, 200, "the pages stand meanwhile");
        }
    };
    let (statuses, ()) = tokio::join!(futures_util::future::join_all(logins), pages);
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    let grown = peak() - before;
    assert!(grown < 150, "{grown} MiB more");
}

/// A browser without cookies, at the same server.
fn app_free(person: &Person) -> crate::support::Visitor {
    let address = std::sync::Arc::new(std::sync::RwLock::new(person.address()));
    crate::support::Visitor::new(crate::support::Visitor::client(), address, None)
}

/// Frames that break the protocol itself end their own socket only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_speaks_no_websocket_ends_alone() {
    let app = TestApp::start(Engine::Sqlite).await;
    let ada = app.sign_up("ada").await;
    let mut other = ada.live().await;
    let address = app.address();
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        ada.cookies()
    );
    let frames: [&[u8]; 6] = [
        b"\x81\x05hello",                                            // not masked
        b"\x83\x80\x00\x00\x00\x00",                                 // an opcode that there is not
        b"\xf1\x80\x00\x00\x00\x00",                                 // reserved bits
        b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", // of 2^64 bytes
        b"\x81\x82\x00\x00\x00\x00\xff\xfe",                         // no UTF-8
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for frame in frames {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(upgrade.as_bytes()).await.unwrap();
        stream.write_all(frame).await.unwrap();
        let mut answer = Vec::new();
        let _reset = within(crate::support::PATIENCE, "the server hangs up", stream.read_to_end(&mut answer)).await;
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{frame:?}: {}", String::from_utf8_lossy(&answer));
    }
    other.say("general", "the others live").await;
    assert_eq!(Socket::connect(address, "/ws", &[]).await.err(), Some(401));
    let mut binary = ada.live().await;
    binary.send_binary(b"\x00\x01").await;
    assert_eq!(binary.closed().await, Closed(Some(1003)));
}
