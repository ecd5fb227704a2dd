//! The socket of a room: what a program gets that connects to `/ws?room=…` and types.

use snug::protocol::{Event, Field, Refusal};
use snug::server::config::RoomCreation;

use crate::support::{Closed, Engine, Socket, TestApp, on_both};

/// The first event of a socket that was opened for a room.
async fn welcomed(socket: &mut Socket) -> Vec<String> {
    match socket.next_event().await {
        Event::Welcome { rooms, .. } => rooms.into_iter().map(|state| state.room.to_string()).collect(),
        other => panic!("the first event is {other:?}"),
    }
}

on_both! {
    async fn a_line_of_text_is_a_message_to_the_room(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        bob.join("random").await;
        let mut page = bob.live().await;
        let mut socket = ada.socket("/ws?room=random").await.unwrap();
        assert_eq!(welcomed(&mut socket).await, ["general", "random"], "one is in the room at once, without a word");
        socket.send_text("good morning").await;
        let heard = page.message("good morning").await;
        assert_eq!((heard.room.as_str(), heard.by.user.as_str()), ("random", "ada"));
        socket.message("good morning").await;
        socket.send_text(" {\"type\":\"ping\"}").await;
        page.message(" {\"type\":\"ping\"}").await;
        socket.send_text("[1]").await;
        page.message("[1]").await;
        socket.say("general", "a command is a command").await;
        page.message("a command is a command").await;
        bob.post("random", "and to you").await;
        socket.message("and to you").await;
    }

    async fn what_cannot_be_sent_is_refused_and_the_socket_lives(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.text_max = 10).await;
        let ada = app.register("ada").await;
        let mut socket = ada.socket("/ws?room=random").await.unwrap();
        socket.send_text("01234567890").await;
        assert_eq!(socket.error().await, Refusal::TooLong { field: Field::Text, max: 10 });
        socket.send_text("").await;
        assert_eq!(socket.error().await, Refusal::Empty { field: Field::Text });
        socket.send_text("{ or not").await;
        assert_eq!(socket.error().await, Refusal::BadRequest);
        ada.act("/api/rooms/random/leave").await;
        socket.send_text("hi").await;
        assert_eq!(socket.error().await, Refusal::NotMember);
        ada.act("/api/rooms/random/join").await;
        socket.send_text("still here").await;
        socket.message("still here").await;
    }

    async fn a_program_that_names_no_room_is_in_general_and_a_page_in_none(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        ada.act("/api/rooms/general/leave").await;
        let mut socket = ada.socket("/ws").await.unwrap();
        assert_eq!(welcomed(&mut socket).await, ["general"]);
        let ticket = ada.ticket().await;
        let mut by_ticket = Socket::connect(app.address(), &format!("/ws?ticket={ticket}"), &[]).await.unwrap();
        welcomed(&mut by_ticket).await;
        by_ticket.send_text("by a ticket").await;
        socket.message("by a ticket").await;
        let mut page = bob.socket().await;
        page.send_text("hi").await;
        assert_eq!(page.error().await, Refusal::BadRequest, "a page says what it means");
    }

    async fn the_room_may_stand_in_the_path(app: TestApp) {
        let ada = app.register("ada").await;
        let path = format!("/ws/random?token={}", ada.token());
        let mut socket = Socket::connect(app.address(), &path, &[]).await.unwrap();
        welcomed(&mut socket).await;
        socket.send_text("hi").await;
        assert_eq!(socket.message("hi").await.room.as_str(), "random");
    }

    async fn a_room_that_is_not_there_is_made_once(app: TestApp) {
        let people = [app.register("ada").await, app.register("bob").await, app.register("cyd").await];
        let open = people.iter().map(|bot| bot.socket("/ws?room=tea-at-four"));
        let mut sockets: Vec<_> = futures_util::future::join_all(open).await.into_iter().map(Result::unwrap).collect();
        for socket in &mut sockets {
            assert!(welcomed(socket).await.contains(&"tea-at-four".to_owned()));
        }
        sockets[0].send_text("hi").await;
        for socket in &mut sockets {
            assert_eq!(socket.message("hi").await.room.as_str(), "tea-at-four", "it is one room");
        }
        let room: snug::protocol::api::Room = people[0].get("/api/rooms/tea-at-four").await.json();
        assert_eq!((room.name.as_str(), room.members), ("tea-at-four", 3));
    }

    async fn where_only_administrators_make_rooms_others_find_none(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.room_creation = RoomCreation::Admins).await;
        let (admin, bob) = (app.register("ada").await, app.register("bob").await);
        assert_eq!(bob.socket("/ws?room=tea").await.err(), Some(404));
        let new = serde_json::json!({ "name": "Tea" });
        assert_eq!(bob.post("/api/rooms", new.clone()).await.problem(), "not_allowed");
        assert!(admin.socket("/ws?room=tea").await.is_ok());
        assert!(bob.socket("/ws?room=tea").await.is_ok(), "now it is there");
        assert_eq!(admin.post("/api/rooms", new).await.status, 201);
    }

    async fn where_only_administrators_make_rooms_no_page_leads_others_there(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.room_creation = RoomCreation::Admins).await;
        let (admin, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        for path in ["/", "/?q=tea", "/room/general", "/room/nowhere", "/settings"] {
            assert!(admin.get(path).await.body.contains("href=\"/new-room"), "{path}");
            assert!(!bob.get(path).await.body.contains("href=\"/new-room"), "{path}");
        }
        assert_eq!((admin.get("/new-room").await.status, bob.get("/new-room").await.status), (200, 403));
        let refused = bob.post_form("create_room", &[("name", "Tea"), ("page", "/new-room")]).await;
        assert_eq!(refused.status, 403, "and who comes there all the same is refused");
    }

    async fn a_room_that_cannot_be_entered_is_said_before_the_upgrade(app: TestApp) {
        let mut app = app;
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        for name in ["Closed", "Private"] {
            ada.post("/api/rooms", serde_json::json!({ "name": name })).await;
        }
        ada.act("/api/rooms/closed/close").await;
        app.stop().await;
        app.sql("UPDATE rooms SET kind = 'private' WHERE slug = 'private'").await.unwrap();
        app.start_again().await;
        assert_eq!(bob.socket("/ws?room=closed").await.err(), Some(409));
        assert_eq!(bob.socket("/ws?room=private").await.err(), Some(404), "as if it were not there, and it is not made");
        assert_eq!(bob.socket("/ws?room=No%20Slug").await.err(), Some(404));
        assert_eq!(bob.get("/ws?room=unmade").await.status, 400, "a plain request opens no socket");
        assert_eq!(bob.get("/api/rooms/unmade").await.status, 404, "and makes no room");
        assert!(ada.socket("/ws?room=closed").await.is_ok(), "a member may still listen");
    }

    async fn a_program_that_only_listens_is_not_silent(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.idle_timeout = 3).await;
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        let mut listens = ada.socket("/ws").await.unwrap();
        welcomed(&mut listens).await;
        let mut page = bob.live().await;
        // Reading answers the server's questions; a page that asks nothing itself is closed meanwhile.
        let (heard, closed) = tokio::join!(listens.message("are you there?"), async {
            let closed = page.closed().await;
            bob.post("general", "are you there?").await;
            closed
        });
        assert_eq!((heard.text.as_str(), closed), ("are you there?", Closed(Some(4409))));
    }

    async fn a_program_that_comes_back_says_what_it_has(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        let mut socket = ada.socket("/ws").await.unwrap();
        welcomed(&mut socket).await;
        bob.post("general", "seen").await;
        let seen = socket.message("seen").await.seq;
        socket.close().await;
        bob.post("general", "missed").await;
        let mut socket = ada.socket("/ws").await.unwrap();
        welcomed(&mut socket).await;
        let command = snug::protocol::Command::Hello {
            rooms: [(crate::support::slug("general"), seen)].into(),
            epoch: Some(bob.epoch().await),
            look: None,
        };
        socket.send(&command).await;
        let missed = socket.message("missed").await;
        assert_eq!(missed.seq, seen.next());
    }

    async fn a_socket_that_names_no_room_is_in_none(app: TestApp) {
        let ada = app.register("ada").await;
        ada.act("/api/rooms/general/leave").await;
        let mut socket = ada.socket("/ws?room=").await.unwrap();
        assert!(socket.hello().await.rooms.is_empty(), "and has made nobody a member");
        socket.send_text("hello?").await;
        assert_eq!(socket.error().await, Refusal::BadRequest);
    }
}
