//! Limits: each is where the settings say, says so when it is met, and harms nobody else.

use std::time::Instant;

use reqwest::Method;
use snug::protocol::{Event, Field, Refusal};

use tokio::sync::Mutex;

use crate::support::{Engine, TestApp, eventually, message, on_both};

on_both! {
    async fn a_text_may_be_as_long_as_the_limit_and_no_longer(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        // Characters, not bytes.
        socket.say("general", &"ж".repeat(4000)).await;
        let (id, command) = message("general", &"x".repeat(4001));
        socket.send(&command).await;
        assert_eq!(socket.refused(id).await, Refusal::TooLong { field: Field::Text, max: 4000 });
        let (id, command) = message("general", " \n\t ");
        socket.send(&command).await;
        assert_eq!(socket.refused(id).await, Refusal::Empty { field: Field::Text });
        socket.say("general", "still here").await;
    }

    async fn the_longest_text_is_a_setting(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.text_max = 10).await;
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        socket.say("general", "0123456789").await;
        let (id, command) = message("general", "01234567890");
        socket.send(&command).await;
        assert_eq!(socket.refused(id).await, Refusal::TooLong { field: Field::Text, max: 10 });
    }

    async fn who_sends_too_fast_is_told_when_to_try_again(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.send_rate = 1;
            settings.send_burst = 3;
        }).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let (mut socket, mut other, mut bobs) = (ada.live().await, ada.live().await, bob.live().await);
        let ids: Vec<_> = (0..20).map(|n| message("general", &format!("{n}"))).collect();
        for (_, command) in &ids {
            socket.feed(command).await;
        }
        let started = Instant::now();
        socket.flush().await;
        let (mut accepted, mut refused, mut wait) = (0, 0, 0);
        while accepted + refused < 20 {
            match socket.next_event().await {
                Event::Message(_) => accepted += 1,
                Event::Error { why: Refusal::TooFast { retry_after_ms }, .. } => {
                    refused += 1;
                    wait = retry_after_ms;
                }
                other => panic!("{other:?}"),
            }
        }
        let most = 3 + started.elapsed().as_secs() + 1;
        assert!(accepted >= 3 && accepted <= most, "{accepted} accepted at once");
        assert!(wait > 0 && wait <= 1000, "{wait} ms");
        let (id, command) = message("general", "by another socket");
        other.send(&command).await;
        assert!(matches!(other.refused(id).await, Refusal::TooFast { .. }), "the limit is the person's, not the socket's");
        bobs.say("general", "nobody else is slowed").await;
        let socket = Mutex::new(socket);
        let again = || async {
            let (id, command) = message("general", "now");
            let mut socket = socket.lock().await;
            socket.send(&command).await;
            let answer = socket.answer(id).await;
            matches!(answer, Event::Message(_)).then_some(())
        };
        eventually("who has waited is heard again", again).await;
    }

    async fn the_same_message_again_is_not_too_fast(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.send_rate = 1;
            settings.send_burst = 1;
        }).await;
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let (id, command) = message("general", "once");
        socket.send(&command).await;
        socket.until(|event| matches!(event, Event::Message(message) if message.id == id)).await;
        for _ in 0..4 {
            socket.send(&command).await;
        }
        let mut answers = 0;
        while answers < 4 {
            match socket.next_event().await {
                Event::Sent { id: sent, .. } if sent == id => answers += 1,
                other => panic!("a message that is there is acknowledged before any other check: {other:?}"),
            }
        }
    }

    async fn a_person_has_a_bounded_number_of_rooms(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.rooms_per_user = 3).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut made = 0;
        let refusal = loop {
            match ada.ask::<()>("create_room", &[("name", &format!("Room {made}"))]).await {
                Ok(()) => made += 1,
                Err(refusal) => break refusal,
            }
            assert!(made <= 3, "more rooms than the limit");
        };
        assert_eq!(refusal, Refusal::TooMany);
        assert!(made >= 1);
        bob.create_room("Of another").await;
        assert_eq!(ada.rooms().await.len(), 3 + made + 1, "the refused one is not there");
    }

    async fn a_person_has_a_bounded_number_of_sockets(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.sockets_per_user = 3).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut open = vec![ada.live().await, ada.live().await, ada.live().await];
        assert_eq!(ada.try_socket(&[("origin", &ada.origin())]).await.err(), Some(429));
        bob.live().await.say("general", "nobody else is refused").await;
        open.pop().unwrap().close().await;
        let origin = ada.origin();
        let allowed = || async { ada.try_socket(&[("origin", &origin)]).await.ok() };
        eventually("another is allowed after one is closed", allowed).await;
    }

    async fn a_body_that_is_too_large_is_refused(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let text = "x".repeat(70_000);
        let nonce = crate::support::new_id().to_string();
        let fields = [("room", "general"), ("nonce", nonce.as_str()), ("text", &text)];
        assert_eq!(ada.post_json("post_message", &fields).await.status, 413);
        let fields = [("email", "a@example.org"), ("username", "a"), ("password", &text)];
        assert_eq!(app.visitor().post_json("sign_up", &fields).await.status, 413);
        assert!(ada.whoami().await.is_some());
    }

    async fn a_password_may_not_be_endless(app: TestApp) {
        let password = "p".repeat(600);
        let fields = [("email", "ada@example.org"), ("username", "ada"), ("password", &password)];
        let refusal = app.visitor().ask::<()>("sign_up", &fields).await.unwrap_err();
        assert!(matches!(refusal, Refusal::TooLong { field: Field::Password, .. }), "{refusal:?}");
    }

    async fn who_says_nothing_is_not_waited_for(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.header_timeout = 1).await;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for said in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
            let mut stream = tokio::net::TcpStream::connect(app.address()).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            crate::support::within(crate::support::PATIENCE, "the server hangs up", stream.read_to_end(&mut answer)).await.ok();
        }
        assert_eq!(app.visitor().get("/healthz").await.status, 200);
    }

    async fn a_body_that_does_not_come_is_not_waited_for(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.body_timeout = 1).await;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(app.address()).await.unwrap();
        let address = app.address();
        let head = format!(
            "POST /actions/log_in HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nAccept: application/json\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nname=",
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        let answered = crate::support::within(crate::support::PATIENCE, "the server gives up", stream.read(&mut answer)).await;
        let status = String::from_utf8_lossy(&answer[..answered.unwrap_or(0)]).into_owned();
        assert!(status.is_empty() || status.starts_with("HTTP/1.1 4"), "{status}");
    }

    async fn other_methods_and_strange_requests_are_refused_quietly(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::TRACE] {
            let reply = ada.request(method.clone(), "/", &[("origin", &ada.origin())], None).await;
            assert!(reply.status == 405 || reply.status == 404 || reply.status == 403, "{method}: {}", reply.status);
        }
        assert_eq!(ada.request(Method::HEAD, "/healthz", &[], None).await.status, 200);
    }
}
