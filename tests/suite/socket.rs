//! The socket: who gets one, what it says on connecting and after being away, and what it does with bad frames.

use snug::protocol::{self, Event, Refusal, Seq};

use crate::support::{Closed, Engine, Socket, TestApp, eventually, message, new_id, on_both, read, send};

on_both! {
    async fn without_a_login_there_is_no_socket(app: TestApp) {
        let visitor = app.visitor();
        let origin = visitor.origin();
        assert_eq!(visitor.try_socket(&[("origin", &origin)]).await.err(), Some(401));
        visitor.set_cookie("snug_session", "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(visitor.try_socket(&[("origin", &origin)]).await.err(), Some(401));
        let ada = app.sign_up("ada").await;
        let before = ada.copy();
        ada.ask::<()>("log_out", &[]).await.unwrap();
        assert_eq!(before.try_socket(&[("origin", &origin)]).await.err(), Some(401));
    }

    async fn a_socket_from_another_site_is_refused(app: TestApp) {
        let ada = app.sign_up("ada").await;
        assert_eq!(ada.try_socket(&[]).await.err(), Some(403), "no Origin");
        let port = app.address().port();
        for origin in [
            "null", "http://evil.example", "http://127.0.0.1", "file://",
            &format!("http://127.0.0.1:{port}.evil.example"), &format!("http://localhost:{port}"),
        ] {
            assert_eq!(ada.try_socket(&[("origin", origin)]).await.err(), Some(403), "{origin}");
            // Nor one that would make a room.
            for path in ["/ws/evil", "/ws?room=evil"] {
                let headers = [("cookie", &*ada.cookies()), ("origin", origin)];
                assert_eq!(Socket::connect(app.address(), path, &headers).await.err(), Some(403), "{path} {origin}");
            }
        }
        assert!(ada.rooms().await.iter().all(|room| room.room.as_str() != "evil"));
        assert!(ada.try_socket(&[("origin", &ada.origin())]).await.is_ok());
    }

    async fn behind_a_public_url_the_origin_is_that_one(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.public_url = Some("https://chat.example.org".parse().unwrap())).await;
        let ada = app.sign_up("ada").await;
        assert!(ada.try_socket(&[("origin", "https://chat.example.org")]).await.is_ok());
        for origin in [&format!("http://{}", app.address()), "http://chat.example.org", "https://chat.example.org.evil.example"] {
            assert_eq!(ada.try_socket(&[("origin", origin)]).await.err(), Some(403), "{origin}");
        }
    }

    async fn a_plain_get_is_no_socket(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let reply = ada.request(reqwest::Method::GET, "/ws", &[("origin", &ada.origin())], None).await;
        assert!((400..500).contains(&reply.status), "{}", reply.status);
    }

    async fn a_hello_is_welcomed_with_what_one_is_and_has(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        ada.post("general", "one").await;
        ada.post("general", "two").await;
        let page = bob.page("general").await;
        let mut socket = bob.socket().await;
        let welcome = socket.hello().await;
        assert_eq!((welcome.user.as_str(), welcome.version), ("bob", protocol::VERSION));
        assert_eq!(welcome.epoch, page.epoch);
        assert_eq!(welcome.rooms.len(), 1);
        let general = welcome.room("general");
        assert_eq!((general.seq, general.read, general.unread), (page.as_of, page.read, 2));
        assert_eq!(general.name, page.name);
    }

    async fn what_was_missed_comes_once_in_order_and_then_what_is_new(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        bob.join("random").await;
        ada.join("random").await;
        let mut speaker = ada.live().await;
        let mut listener = bob.live().await;
        let (general, _) = speaker.say("general", "seen").await;
        let (random, _) = speaker.say("random", "seen there").await;
        listener.message("seen there").await;
        listener.close().await;
        for n in 0..20 {
            speaker.say(["general", "random"][n % 2], &format!("missed {n}")).await;
        }
        let mut listener = bob.socket().await;
        let welcome = listener.resume(bob.epoch().await, &[("general", general), ("random", random)]).await;
        speaker.say("general", "new").await;
        let events = listener.collect_until(|event| matches!(event, Event::Message(message) if message.text == "new")).await;
        let of = |name: &str| -> Vec<i64> {
            let places = events.iter().filter_map(Event::place).filter(|(room, _)| room.as_str() == name);
            places.map(|(_, seq)| seq.0).collect()
        };
        assert_eq!(of("general"), (general.0 + 1..=general.0 + 11).collect::<Vec<_>>());
        assert_eq!(of("random"), (random.0 + 1..=random.0 + 10).collect::<Vec<_>>());
        assert_eq!(welcome.room("general").seq.0, general.0 + 10);
        assert!(events.iter().all(|event| event.place().is_some()), "{events:?}");
    }

    async fn a_room_that_is_not_named_is_live_only(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        ada.post("general", "old").await;
        let mut listener = bob.live().await;
        ada.post("general", "new").await;
        assert!(matches!(listener.next_event().await, Event::Message(message) if message.text == "new"));
    }

    async fn who_missed_more_than_is_replayed_is_told_so(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.replay_max = 10).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut speaker = ada.live().await;
        let (seen, _) = speaker.say("general", "seen").await;
        for n in 0..30 {
            speaker.say("general", &format!("missed {n}")).await;
        }
        let mut listener = bob.socket().await;
        let last = listener.resume(bob.epoch().await, &[("general", seen)]).await.room("general").seq;
        speaker.say("general", "new").await;
        let events = listener.collect_until(|event| matches!(event, Event::Message(message) if message.text == "new")).await;
        let Event::Limited { room, to, .. } = &events[0] else { panic!("{events:?}") };
        assert_eq!((room.as_str(), *to), ("general", last));
        assert_eq!(events.len(), 2, "what is after `to` follows, and nothing else: {events:?}");
        assert_eq!(bob.log_after("general", seen).await.len(), 31, "and the rest can be read");
    }

    async fn as_much_as_is_replayed_is_replayed(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.replay_max = 10).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut speaker = ada.live().await;
        let (seen, _) = speaker.say("general", "seen").await;
        for n in 0..10 {
            speaker.say("general", &format!("missed {n}")).await;
        }
        let mut listener = bob.socket().await;
        listener.resume(bob.epoch().await, &[("general", seen)]).await;
        let events = listener.collect_until(|event| matches!(event, Event::Message(message) if message.text == "missed 9")).await;
        assert_eq!(events.len(), 10, "{events:?}");
        assert!(events.iter().all(|event| matches!(event, Event::Message(_))), "{events:?}");
    }

    async fn who_has_another_database_in_mind_starts_afresh(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut speaker = ada.live().await;
        let (seq, _) = speaker.say("general", "here").await;
        let own = ada.epoch().await;
        for (epoch, seen) in [(new_id(), Seq(seq.0 - 1)), (own, Seq(seq.0 + 100))] {
            let mut socket = ada.socket().await;
            let welcome = socket.resume(epoch, &[("general", seen)]).await;
            assert_eq!(welcome.epoch, own);
            speaker.say("general", "new").await;
            let events = socket.collect_until(|event| matches!(event, Event::Message(message) if message.text == "new")).await;
            assert!(matches!(&events[0], Event::Limited { room, to, .. } if room.as_str() == "general" && *to == welcome.room("general").seq), "{events:?}");
            assert_eq!(events.len(), 2, "{events:?}");
        }
    }

    async fn a_frame_that_is_no_command_is_refused_and_the_socket_lives(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        for frame in [
            "{", "[]", "null", "{}", r#"{"type":"fly"}"#, r#"{"type":"send"}"#, r#"{"type":"send","room":"No Slug","id":"x","text":""}"#,
            r#"{"type":"read","room":"general","seq":"many"}"#, r#"{"type":"send","room":"general","id":"x","text":"y"}"#,
        ] {
            socket.send_text(frame).await;
            assert_eq!(socket.error().await, Refusal::BadRequest, "{frame}");
        }
        socket.say("general", "still here").await;
    }

    async fn a_command_with_fields_of_a_later_version_is_understood(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let id = new_id();
        socket.send_text(&format!(r#"{{"type":"send","room":"general","id":"{id}","text":"hi","mood":["sunny",1]}}"#)).await;
        socket.acknowledged(id).await;
    }

    async fn a_frame_that_is_too_large_ends_the_socket(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let mut other = ada.live().await;
        socket.send_text(&"x".repeat(70_000)).await;
        assert_eq!(socket.closed().await, Closed(Some(1009)));
        other.say("general", "the others live").await;
    }

    async fn a_ping_is_answered(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        assert_eq!(socket.drain().await, []);
    }

    async fn who_asks_for_lines_gets_lines(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let headers = [("origin", &*ada.origin()), ("sec-websocket-protocol", protocol::LINES)];
        let mut speaker = ada.live().await;
        let mut plain = ada.live().await;
        let mut lines = ada.try_socket(&headers).await.unwrap();
        let (seen, _) = speaker.say("general", "seen").await;
        for n in 0..50 {
            speaker.send(&message("general", &format!("line {n}")).1).await;
        }
        speaker.message("line 49").await;
        // What waits together comes together: after being away, certainly.
        let rooms = std::collections::BTreeMap::from([(crate::support::slug("general"), seen)]);
        lines.send(&protocol::Command::Hello { rooms, epoch: Some(ada.epoch().await), look: None }).await;
        let mut frames = Vec::new();
        while !frames.last().is_some_and(|frame: &String| frame.contains("line 49")) {
            frames.push(lines.next_frame().await.unwrap());
        }
        assert!(frames.len() < 50, "{} frames", frames.len());
        assert!(frames.iter().any(|frame| frame.lines().count() > 1));
        let mut alone = 0;
        while alone < 51 {
            let frame = plain.next_frame().await.unwrap();
            assert_eq!(frame.lines().count(), 1, "who did not ask gets one event a frame: {frame}");
            alone += usize::from(frame.contains(r#""type":"message""#));
        }
    }

    async fn what_one_has_read_is_known_to_ones_other_sockets(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let (mut speaker, mut here, mut there) = (ada.live().await, bob.live().await, bob.live().await);
        let (first, _) = speaker.say("general", "one").await;
        let (second, _) = speaker.say("general", "two").await;
        here.message("two").await;
        here.send(&read("general", first)).await;
        let told = there.until(|event| matches!(event, Event::Read { .. })).await;
        assert_eq!(told, Event::Read { room: crate::support::slug("general"), seq: first, unread: 1 });
        here.send(&read("general", second)).await;
        let told = there.until(|event| matches!(event, Event::Read { .. })).await;
        assert_eq!(told, Event::Read { room: crate::support::slug("general"), seq: second, unread: 0 });
        bob.ask::<()>("mark_read", &[("room", "general"), ("seq", &first.to_string())]).await.unwrap();
        assert_eq!(bob.page("general").await.read, second, "it never moves back");
        speaker.drain().await.iter().for_each(|event| assert!(!matches!(event, Event::Read { .. }), "it is nobody else's business"));
    }

    async fn reading_cannot_be_ahead_of_the_log(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        ada.post("general", "one").await;
        let _ = bob.post_json("mark_read", &[("room", "general"), ("seq", "1000000")]).await;
        ada.post("general", "two").await;
        assert!(bob.room_in_list("general").await.unread >= 1, "what came later is unread");
    }

    async fn unread_messages_are_counted_exactly(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let start = bob.page("general").await.as_of;
        bob.ask::<()>("mark_read", &[("room", "general"), ("seq", &start.to_string())]).await.unwrap();
        ada.ask::<()>("mark_read", &[("room", "general"), ("seq", &start.to_string())]).await.unwrap();
        let counted = async || (ada.room_in_list("general").await.unread, bob.room_in_list("general").await.unread);
        let unread = async || {
            let by_the_database = counted().await;
            // From here on its latest page is in memory, and counts are taken from there.
            ada.page("general").await;
            assert_eq!(counted().await, by_the_database);
            by_the_database
        };
        assert_eq!(unread().await, (0, 0));
        let mut socket = ada.live().await;
        for n in 1..=3 {
            socket.say("general", &format!("{n}")).await;
        }
        assert_eq!(unread().await, (0, 3), "not one's own");
        app.sign_up("cyd").await;
        assert_eq!(unread().await, (0, 3), "joining is no message");
        bob.ask::<()>("mark_read", &[("room", "general"), ("seq", &(start.0 + 2).to_string())]).await.unwrap();
        assert_eq!(unread().await, (0, 1));
        bob.post("general", "4").await;
        assert_eq!(ada.room_in_list("general").await.unread, 1);
        let mut other = bob.socket().await;
        assert_eq!(other.hello().await.room("general").unread, bob.room_in_list("general").await.unread);
    }

    async fn unread_messages_are_counted_up_to_a_bound(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut socket = ada.live().await;
        for n in 0..120 {
            socket.send(&message("general", &format!("{n}")).1).await;
        }
        socket.message("119").await;
        assert_eq!(bob.room_in_list("general").await.unread, protocol::UNREAD_MAX);
        assert!(bob.page("general").await.older.is_some(), "the page in memory does not go back to what was read");
        assert_eq!(bob.room_in_list("general").await.unread, protocol::UNREAD_MAX);
    }

    async fn who_looks_at_a_room_sees_who_is_there(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.presence_grace = 0).await;
        let (ada, bob, cyd) = (app.sign_up("ada").await, app.sign_up("bob").await, app.sign_up("cyd").await);
        let mut watcher = ada.socket().await;
        watcher.hello_with(&[], None, Some("general")).await;
        let names = |event: &Event| match event {
            Event::Presence(presence) if presence.room.as_str() == "general" => {
                assert_eq!(presence.count as usize, presence.users.len());
                Some(presence.users.iter().map(|person| person.user.clone()).collect::<Vec<_>>())
            }
            _ => None,
        };
        let mut elsewhere = cyd.live().await;
        let there = bob.live().await;
        watcher.until(|event| names(event) == Some(vec!["ada".into(), "bob".into(), "cyd".into()])).await;
        let there_too = bob.live().await;
        there.close().await;
        cyd.leave("general").await;
        watcher.until(|event| names(event) == Some(vec!["ada".into(), "bob".into()])).await;
        there_too.close().await;
        watcher.until(|event| names(event) == Some(vec!["ada".into()])).await;
        elsewhere.drain().await.iter().for_each(|event| assert!(names(event).is_none(), "only who looks is told"));
        watcher.send(&protocol::Command::Look { room: None }).await;
        watcher.drain().await;
        let mut again = bob.live().await;
        again.say("general", "I am back").await;
        let heard = watcher.collect_until(|event| matches!(event, Event::Message(_))).await;
        assert_eq!(heard.iter().filter_map(names).count(), 0, "who looks away is told no more");
    }

    async fn who_is_back_within_the_grace_never_went(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.presence_grace = 600).await;
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let mut watcher = ada.socket().await;
        let there = bob.live().await;
        watcher.hello_with(&[], None, Some("general")).await;
        there.close().await;
        let mut back = bob.live().await;
        back.say("general", "I am back").await;
        let heard = watcher.collect_until(|event| matches!(event, Event::Message(_))).await;
        let without_bob = |event: &Event| matches!(event, Event::Presence(presence) if presence.users.iter().all(|person| person.user != "bob"));
        assert!(!heard.iter().any(without_bob), "{heard:?}");
    }

    async fn a_server_that_stops_says_that_it_goes_away(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        let mut sockets = [ada.live().await, ada.live().await, ada.socket().await];
        app.stop().await;
        for socket in &mut sockets {
            assert_eq!(socket.closed().await, Closed(Some(1001)));
        }
    }

    async fn what_was_acknowledged_before_a_stop_is_there_after_it(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let ids: Vec<_> = (0..200).map(|n| (new_id(), format!("{n}"))).collect();
        for (id, text) in &ids {
            socket.feed(&send("general", *id, text)).await;
        }
        socket.flush().await;
        socket.acknowledged(ids[20].0).await;
        app.stop().await;
        let mut acknowledged = vec![ids[20].0];
        while let Ok(event) = socket.try_next().await {
            if let Event::Message(message) = event {
                acknowledged.push(message.id);
            }
        }
        app.start_again().await;
        let log = ada.log("general").await;
        for id in acknowledged {
            assert!(log.iter().any(|event| matches!(event, Event::Message(message) if message.id == id)), "{id}");
        }
    }

    async fn a_socket_that_breaks_off_leaves_nothing_behind(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.sockets_per_user = 2).await;
        let ada = app.sign_up("ada").await;
        let origin = ada.origin();
        for _ in 0..10 {
            // Gone without a word, twice; the place is free again soon.
            let open = || async { ada.try_socket(&[("origin", &origin)]).await.ok() };
            let one: Socket = eventually("a socket is allowed again", open).await;
            let other = eventually("a socket is allowed again", open).await;
            drop((one, other));
        }
    }
}
