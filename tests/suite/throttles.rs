//! Who comes too often: guessed passwords, sign-ups, rooms, sockets. Whoever overdoes it is told when to try again, at every door, and
//! nobody else notices.

use reqwest::Method;
use serde_json::json;
use snug::protocol::{Command, Event, Refusal};
use snug::server::config::Settings;

use crate::support::{Engine, PASSWORD, Reply, TestApp, message, on_both, slug};

/// Through which one logs in and signs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Form,
    Action,
    Rest,
}

const DOORS: [Door; 3] = [Door::Form, Door::Action, Door::Rest];

const WRONG: &str = "a noisy harbour at noon";

/// A server behind a proxy on this machine, which says from where people come.
fn proxied(settings: &mut Settings) {
    settings.trusted_proxy = "127.0.0.1".parse().expect("an address");
}

impl TestApp {
    async fn knock(&self, door: Door, action: &str, fields: &[(&str, &str)], from: &str) -> Reply {
        let forwarded = ("x-forwarded-for", from);
        let visitor = self.visitor();
        let form = |accept: &'static str| {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            let (visitor, origin) = (&visitor, visitor.origin());
            async move {
                let headers = [("accept", accept), ("origin", &*origin), forwarded];
                visitor.request(Method::POST, &format!("/actions/{action}"), &headers, Some(body)).await
            }
        };
        match door {
            Door::Form => form("text/html").await,
            Door::Action => form("application/json").await,
            Door::Rest => {
                let path = if action == "log_in" { "/api/auth/login" } else { "/api/auth/register" };
                let body: serde_json::Map<_, _> =
                    fields.iter().filter(|(name, _)| *name != "page").map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
                let headers = [("content-type", "application/json"), forwarded];
                self.bot().request(Method::POST, path, &headers, Some(json!(body).to_string())).await
            }
        }
    }

    async fn try_log_in(&self, door: Door, name: &str, password: &str, from: &str) -> Reply {
        self.knock(door, "log_in", &[("name", name), ("password", password), ("page", "/login")], from).await
    }

    async fn try_sign_up(&self, door: Door, user: &str, from: &str) -> Reply {
        let email = format!("{user}@example.org");
        self.knock(door, "sign_up", &[("email", &email), ("username", user), ("password", PASSWORD), ("page", "/signup")], from)
            .await
    }
}

/// In how many seconds to try again, as a 429 says at this door.
fn again(door: Door, reply: &Reply) -> u64 {
    assert_eq!(reply.status, 429, "{door:?}: {}", reply.body);
    match door {
        Door::Form => assert!(reply.body.contains("Too fast. Try again in "), "the page says it"),
        Door::Action => assert!(matches!(reply.refusal(), Refusal::TooFast { .. }), "{}", reply.body),
        Door::Rest => assert_eq!(reply.problem(), "too_fast"),
    }
    let seconds: u64 = reply.header("retry-after").parse().unwrap_or_else(|_| panic!("{door:?}: no Retry-After"));
    assert!(seconds > 0);
    seconds
}

const fn accepted(door: Door) -> u16 {
    if matches!(door, Door::Form) { 303 } else { 200 }
}

on_both! {
    async fn a_hundred_wrong_passwords_are_stopped_and_the_owner_gets_in_meanwhile(engine: Engine) {
        let app = TestApp::start_with(engine, proxied).await;
        app.sign_up("ada").await;
        let guesser = "203.0.113.7";
        let mut tried = 0;
        for n in 0..100 {
            let door = DOORS[n % 3];
            let reply = app.try_log_in(door, "ada", WRONG, guesser).await;
            if reply.status == 401 {
                tried += 1;
            } else {
                assert!(again(door, &reply) <= 60, "one of ten in ten minutes comes back after one");
            }
        }
        assert!((10..=12).contains(&tried), "{tried} were tried: the doors share the limit, and it holds");
        for door in DOORS {
            again(door, &app.try_log_in(door, "ada", PASSWORD, guesser).await);
            again(door, &app.try_log_in(door, "ADA", PASSWORD, guesser).await);
            let owner = app.try_log_in(door, "ada", PASSWORD, "198.51.100.4").await;
            assert_eq!(owner.status, accepted(door), "{door:?}");
            // What the proxy was told is not what the proxy says.
            for forged in ["198.51.100.4, 203.0.113.7", "127.0.0.1, 203.0.113.7", "198.51.100.4,203.0.113.7"] {
                again(door, &app.try_log_in(door, "ada", PASSWORD, forged).await);
            }
        }
        assert_eq!(app.try_log_in(Door::Rest, "bob", WRONG, guesser).await.status, 401, "other accounts are not refused there");
        let counted = app.visitor().get("/metrics").await.body;
        let of = |name: &str| counted.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u32>().ok()).unwrap_or_default();
        assert_eq!(of("snug_throttled_total{what=\"login\"}"), 100 - tried + 15, "{counted}");
        assert_eq!(of("snug_logins_total{outcome=\"refused\"}"), 100 + 15 + 1);
    }

    async fn without_a_trusted_proxy_what_a_client_says_of_its_address_changes_nothing(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.failed_logins = 3).await;
        app.sign_up("ada").await;
        for n in 0..3 {
            assert_eq!(app.try_log_in(Door::Action, "ada", WRONG, &format!("203.0.113.{n}")).await.status, 401);
        }
        for n in 3..20 {
            again(Door::Action, &app.try_log_in(Door::Action, "ada", WRONG, &format!("203.0.113.{n}")).await);
        }
        // From another address in earnest.
        let elsewhere = reqwest::Client::builder().no_proxy().local_address(Some([127, 0, 0, 2].into())).build().unwrap();
        let reply = elsewhere.post(format!("http://{}/api/auth/login", app.address())).header("content-type", "application/json");
        let reply = reply.body(json!({ "name": "ada", "password": PASSWORD }).to_string()).send().await.unwrap();
        assert_eq!(reply.status(), 200);
    }

    async fn whether_there_is_such_an_account_shows_nowhere(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            proxied(settings);
            settings.failed_logins = 4;
            settings.failed_logins_per_account = 12;
        }).await;
        app.sign_up("ada").await;
        for door in DOORS {
            // A name, and addresses of this door alone.
            let course = async |name: &str, net: u8| {
                let mut course = Vec::new();
                for n in 0..10 {
                    let reply = app.try_log_in(door, name, WRONG, &format!("10.{net}.{}.1", n / 6)).await;
                    let body = reply.body.replace(name, "NAME");
                    let body: String = if door == Door::Form { body.len().to_string() } else { body.chars().filter(|c| !c.is_ascii_digit()).collect() };
                    let headers: Vec<_> = reply.headers.keys().map(|name| name.as_str().to_owned()).collect();
                    course.push((reply.status, body, headers));
                }
                course
            };
            let number = u8::try_from(DOORS.iter().position(|d| *d == door).unwrap()).unwrap();
            let known = course("ada", number * 2).await;
            assert_eq!(known, course("eve", number * 2 + 1).await, "{door:?}");
            assert!(known.iter().any(|(status, ..)| *status == 401 || number > 0) && known.iter().any(|(status, ..)| *status == 429));
        }
        // Beyond what may be tried for an account from everywhere, even the right password says nothing to a stranger.
        let right = app.try_log_in(Door::Rest, "ada", PASSWORD, "10.99.0.1").await;
        let wrong = app.try_log_in(Door::Rest, "ada", WRONG, "10.99.0.2").await;
        let nobody = app.try_log_in(Door::Rest, "eve", WRONG, "10.99.0.3").await;
        for reply in [right, wrong, nobody] {
            again(Door::Rest, &reply);
        }
    }

    async fn who_is_attacked_from_everywhere_gets_in_from_where_they_were_before(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            proxied(settings);
            settings.failed_logins_per_account = 20;
        }).await;
        assert_eq!(app.try_sign_up(Door::Action, "ada", "2001:db8:5:6::7").await.status, 200);
        let token = app.try_log_in(Door::Rest, "ada", PASSWORD, "192.0.2.8").await.json::<snug::protocol::api::Token>().token;
        assert_eq!(app.bot().with(token).act("/api/auth/logout").await.status, 204, "an ended login counts, too");
        for n in 0..30 {
            let reply = app.try_log_in(DOORS[n % 3], "ada", WRONG, &format!("203.0.113.{n}")).await;
            assert_eq!(reply.status, if n < 20 { 401 } else { 429 }, "{n}");
        }
        for door in DOORS {
            again(door, &app.try_log_in(door, "ada", PASSWORD, "198.51.100.9").await);
            for known in ["2001:db8:5:6:aaaa::1", "192.0.2.8"] {
                assert_eq!(app.try_log_in(door, "ada", PASSWORD, known).await.status, accepted(door), "{door:?} from {known}");
                again(door, &app.try_log_in(door, "ada", WRONG, known).await);
            }
        }
        assert_eq!(app.try_sign_up(Door::Rest, "bob", "198.51.100.9").await.status, 201);
        assert_eq!(app.try_log_in(Door::Rest, "bob", PASSWORD, "198.51.100.10").await.status, 200, "nobody else is slowed");
    }

    async fn one_address_that_tries_many_accounts_is_stopped(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            proxied(settings);
            settings.failed_logins_per_address = 12;
        }).await;
        app.sign_up("ada").await;
        for n in 0..12 {
            // All of a /64 is one.
            let reply = app.try_log_in(DOORS[n % 3], &format!("person{n}"), WRONG, &format!("2001:db8::{n}")).await;
            assert_eq!(reply.status, 401, "{n}");
        }
        for door in DOORS {
            again(door, &app.try_log_in(door, "someone", WRONG, "2001:db8::99").await);
            again(door, &app.try_log_in(door, "ada", PASSWORD, "2001:db8::99").await);
            assert_eq!(app.try_log_in(door, "ada", PASSWORD, "2001:db8:0:1::99").await.status, accepted(door));
        }
    }

    async fn an_office_logs_in_at_nine(engine: Engine) {
        // Two hundred logins at once from one address, none of which is turned away.
        let app = TestApp::start_with(engine, proxied).await;
        for n in 0..8 {
            assert_eq!(app.try_sign_up(Door::Rest, &format!("person{n}"), "192.0.2.1").await.status, 201);
        }
        let logins = (0..200).map(|n| {
            let app = &app;
            async move { app.try_log_in(Door::Rest, &format!("person{}", n % 8), PASSWORD, &format!("192.0.2.{}", n / 80)).await.status }
        });
        let health = async {
            // The pages stand meanwhile.
            for _ in 0..20 {
                assert_eq!(app.visitor().get("/login").await.status, 200);
            }
        };
        let (statuses, ()) = tokio::join!(futures_util::future::join_all(logins), health);
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 200, "{statuses:?}");
    }

    async fn a_throttled_form_keeps_what_was_typed(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            proxied(settings);
            settings.failed_logins = 1;
            settings.sign_ups_per_address = 1;
            settings.rooms_per_hour = 1;
        }).await;
        let here = "192.0.2.1";
        app.try_log_in(Door::Form, "ada@example.org", WRONG, here).await;
        let page = app.try_log_in(Door::Form, "ada@example.org", WRONG, here).await;
        assert_eq!(again(Door::Form, &page), 600);
        assert!(page.body.contains("Try again in 10 min.") && page.body.contains("value=\"ada@example.org\"") && !page.body.contains(WRONG));
        app.try_sign_up(Door::Form, "ada", here).await;
        let page = app.try_sign_up(Door::Form, "bob", here).await;
        assert_eq!(again(Door::Form, &page), 3600);
        assert!(page.body.contains("value=\"bob@example.org\"") && page.body.contains("value=\"bob\"") && !page.body.contains(PASSWORD));
        let ada = app.visitor().log_in("ada", PASSWORD).await;
        ada.create_room("Tea").await;
        let page = ada.post_form("create_room", &[("name", "Milk"), ("topic", "all about cows"), ("page", "/new-room")]).await;
        assert_eq!(again(Door::Form, &page), 3600);
        assert!(page.body.contains("value=\"Milk\"") && page.body.contains("all about cows"));
    }

    async fn the_present_password_is_not_guessed_by_who_found_the_browser_open(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.failed_logins = 4).await;
        let ada = app.sign_up("ada").await;
        let change = async |current: &str| ada.ask::<()>("change_password", &[("current", current), ("new", "a louder harbour at dawn")]).await;
        for _ in 0..4 {
            assert_eq!(change(WRONG).await, Err(Refusal::WrongCurrentPassword));
        }
        assert!(matches!(change(WRONG).await, Err(Refusal::TooFast { .. })));
        assert!(matches!(change(PASSWORD).await, Err(Refusal::TooFast { .. })));
        assert_eq!(app.log_in("ada").await.user, "ada", "logging in is another matter");
    }

    async fn accounts_are_not_made_by_the_hundred(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            proxied(settings);
            settings.sign_ups_per_address = 3;
        }).await;
        for (n, door) in DOORS.into_iter().enumerate() {
            // What is not well-formed does not count.
            assert_eq!(app.try_sign_up(door, "not a name", "192.0.2.1").await.status, 422);
            let reply = app.try_sign_up(door, &format!("person{n}"), "192.0.2.1").await;
            assert!(matches!(reply.status, 200 | 201 | 303), "{door:?}: {}", reply.body);
        }
        for door in DOORS {
            assert!(again(door, &app.try_sign_up(door, "another", "192.0.2.1").await) <= 1200);
            again(door, &app.try_sign_up(door, "another", "198.51.100.1, 192.0.2.1").await);
        }
        assert_eq!(app.try_sign_up(Door::Rest, "another", "192.0.2.2").await.status, 201, "nobody else is slowed");
        let made = app.snug(&["admin", "create-user", "bob", "bob@example.org"], PASSWORD).await;
        assert_eq!(made.code, Some(0), "nor is the operator: {made:?}");
    }

    async fn rooms_are_not_made_by_the_hundred(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.rooms_per_hour = 3).await;
        let ada = app.sign_up("ada").await;
        let bot = app.bot().log_in("ada").await;
        ada.create_room("One").await;
        assert_eq!(bot.post("/api/rooms", json!({ "name": "Two" })).await.status, 201);
        assert!(bot.socket("/ws?room=three").await.is_ok());
        for door in [Door::Form, Door::Action] {
            let fields = [("name", "Four"), ("page", "/new-room")];
            let reply = if door == Door::Form { ada.post_form("create_room", &fields).await } else { ada.post_json("create_room", &fields).await };
            assert!(again(door, &reply) <= 1200);
        }
        again(Door::Rest, &bot.post("/api/rooms", json!({ "name": "Four" })).await);
        assert_eq!(bot.socket("/ws?room=four").await.err(), Some(429));
        assert!(bot.socket("/ws?room=three").await.is_ok(), "one that is there is entered as before");
        assert!(app.register("bob").await.socket("/ws?room=four").await.is_ok(), "the limit is each person's own");
    }

    async fn sockets_are_not_opened_without_end(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            proxied(settings);
            settings.sockets_per_minute = 3;
            settings.sockets_per_address = 8;
        }).await;
        let (ada, bob) = (app.sign_up("ada").await, app.register("bob").await);
        let origin = ada.origin();
        let open = async |from: &str| ada.try_socket(&[("origin", &origin), ("x-forwarded-for", from)]).await.err();
        for _ in 0..3 {
            assert_eq!(open("192.0.2.1").await, None, "opened and closed again");
        }
        assert_eq!(open("192.0.2.1").await, Some(429));
        assert_eq!(open("192.0.2.9").await, Some(429), "it is the person's limit, wherever they are");
        assert!(bob.socket("/ws").await.is_ok());
        // Four have been tried from there: whoever it is, eight is the most.
        let stranger = async || {
            let headers = [("x-forwarded-for", "192.0.2.1"), ("upgrade", "websocket"), ("connection", "upgrade")];
            app.bot().request(Method::GET, "/ws", &headers, None).await
        };
        for _ in 0..4 {
            assert_eq!(stranger().await.status, 401);
        }
        assert!(again(Door::Rest, &stranger().await) <= 8);
    }

    async fn a_connection_that_commands_too_fast_is_told_and_lives(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.command_rate = 1).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let (mut socket, mut bobs) = (ada.live().await, bob.live().await);
        for _ in 0..50 {
            socket.feed(&Command::Ping).await;
        }
        socket.flush().await;
        let (mut pongs, mut refused) = (0, 0);
        while pongs + refused < 50 {
            match socket.next_event().await {
                Event::Pong => pongs += 1,
                Event::Error { why: Refusal::TooFast { retry_after_ms }, .. } => {
                    assert!((1..=1000).contains(&retry_after_ms), "{retry_after_ms}");
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!((4..=10).contains(&pongs), "five at once, of which hello was one: {pongs}");
        bobs.say("general", "nobody else is slowed").await;
        socket.message("nobody else is slowed").await;
        socket.say("general", "messages have a limit of their own").await;
    }

    async fn many_sockets_of_one_person_command_no_faster_than_one(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.command_rate = 1).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let (mut socket, mut bobs) = (ada.live().await, bob.live().await);
        let (mut refused, started) = (0, std::time::Instant::now());
        for greets in [true, false].into_iter().cycle().take(10) {
            // Who says no hello is no way round.
            let mut other = if greets { ada.live().await } else { ada.socket().await };
            for command in [Command::Join { room: slug("random") }, Command::Leave { room: slug("random") }] {
                other.feed(&command).await;
            }
            let (id, command) = message("general", "messages have a limit of their own, and come after what was said before");
            other.send(&command).await;
            let told = other.collect_until(|event| match event {
                Event::Message(message) => message.id == id,
                Event::Sent { id: sent, .. } => *sent == id,
                _ => false,
            }).await;
            refused += told.iter().filter(|event| matches!(event, Event::Error { why: Refusal::TooFast { .. }, .. })).count() as u64;
        }
        let most = 6 + started.elapsed().as_secs();
        assert!(20 - refused <= most, "five at once, and one a second: {refused} of twenty were refused");
        socket.say("general", "she goes on").await;
        bobs.send(&Command::Join { room: slug("random") }).await;
        bobs.until(|event| matches!(event, Event::Joined(joined) if joined.by.user == "bob")).await;
    }

    async fn server_functions_are_asked_no_faster_than_the_api(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.command_rate = 1).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let refused = loop {
            let reply = ada.post_json("list_rooms", &[]).await;
            if reply.status != 200 {
                break reply;
            }
        };
        assert_eq!(again(Door::Action, &refused), 1);
        let fields = [("room", "general"), ("nonce", "00000000-0000-4000-8000-000000000000"), ("text", "typed with care"), ("page", "/room/general")];
        let page = loop {
            let page = ada.post_form("post_message", &fields).await;
            if page.status == 429 {
                break page;
            }
        };
        again(Door::Form, &page);
        assert!(page.body.contains("typed with care"), "what was typed is kept");
        assert_eq!(bob.post_json("list_rooms", &[]).await.status, 200);
        assert_eq!(ada.get("/room/general").await.status, 200, "pages can be read");
    }
}
