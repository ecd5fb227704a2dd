//! REST: rooms, members and messages, by the same rules as on pages and the socket.

use serde_json::json;
use snug::protocol::api::{Logged, Members, Messages, Role, Room, Rooms, SentMessage};
use snug::protocol::{Event, Idle, Message, Refusal, Seq};

use crate::support::{Bot, TestApp, new_id, on_both};

async fn room(bot: &Bot, slug: &str) -> Room {
    let reply = bot.get(&format!("/api/rooms/{slug}")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

async fn messages(bot: &Bot, query: &str) -> Messages {
    let reply = bot.get(&format!("/api/rooms/general/messages{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

fn texts(page: &Messages) -> Vec<&str> {
    page.events
        .iter()
        .filter_map(|event| if let Logged::Message(Message { text, .. }) = event { Some(text.as_str()) } else { None })
        .collect()
}

on_both! {
    async fn a_room_is_made_found_joined_and_left(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        let reply = ada.post("/api/rooms", json!({ "name": "Tea & Biscuits", "topic": "At four", "idle": "week" })).await;
        assert_eq!((reply.status, reply.header("location")), (201, "/api/rooms/tea-biscuits"), "{}", reply.body);
        let made: Room = reply.json();
        assert_eq!((made.name.as_str(), made.topic.as_str(), made.idle), ("Tea & Biscuits", "At four", Idle::Week));
        assert_eq!((made.member, made.may_open, made.members, made.seq, made.read), (true, true, 1, Seq(1), Seq(1)));
        let theirs = room(&bob, "tea-biscuits").await;
        assert_eq!((theirs.member, theirs.may_open, theirs.read), (false, false, Seq(0)));
        let list: Rooms = bob.get("/api/rooms").await.json();
        assert_eq!(list.rooms.iter().map(|room| room.room.as_str()).collect::<Vec<_>>(), ["general", "help", "random", "tea-biscuits"]);
        assert_eq!((list.next, &list.rooms[3]), (None, &theirs));
        for _ in 0..2 {
            let joined: Room = bob.act("/api/rooms/tea-biscuits/join").await.json();
            assert_eq!((joined.member, joined.members, joined.seq), (true, 2, Seq(2)), "joining twice is joining once");
        }
        let members: Members = bob.get("/api/rooms/tea-biscuits/members").await.json();
        let of = |n: usize| (members.members[n].by.user.as_str(), members.members[n].role, members.members[n].since);
        assert_eq!((of(0), of(1), members.next.is_none()), (("ada", Role::Owner, Seq(1)), ("bob", Role::Member, Seq(2)), true));
        assert_eq!(bob.act("/api/rooms/tea-biscuits/leave").await.status, 204);
        assert_eq!(room(&bob, "tea-biscuits").await.members, 1);
    }

    async fn the_list_has_ones_own_closed_rooms_and_no_others(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        ada.post("/api/rooms", json!({ "name": "Tea" })).await;
        assert_eq!(bob.act("/api/rooms/tea/close").await.problem(), "not_allowed");
        let closed: Room = ada.act("/api/rooms/tea/close").await.json();
        assert!(closed.closed && closed.member);
        let slugs = async |bot: &Bot| bot.get("/api/rooms").await.json::<Rooms>().rooms.into_iter().map(|room| room.room.to_string()).collect::<Vec<_>>();
        assert_eq!(slugs(&ada).await, ["general", "help", "random", "tea"]);
        assert_eq!(slugs(&bob).await, ["general", "help", "random"]);
        assert_eq!(bob.act("/api/rooms/tea/join").await.problem(), "closed");
        assert_eq!(ada.post("/api/rooms/tea/messages", json!({ "id": new_id(), "text": "hi" })).await.problem(), "closed");
        let open: Room = ada.act("/api/rooms/tea/reopen").await.json();
        assert!(!open.closed);
        assert_eq!(bob.act("/api/rooms/tea/join").await.status, 200);
    }

    async fn a_long_list_comes_in_pages_that_miss_none(app: TestApp) {
        // The administrator makes them in the database, past the limit of how fast anyone may.
        let mut app = app;
        let bot = app.register("ada").await;
        app.stop().await;
        for n in 0..250 {
            let id = if app.engine == crate::support::Engine::Postgres {
                format!("'00000000-0000-0000-0000-{n:012}'::uuid")
            } else {
                format!("x'{n:032}'")
            };
            app.sql(&format!(
                "INSERT INTO rooms (id, slug, name, created_by, created_at, active_at, idle_from, search_key)
                 SELECT {id}, 'room-{n:03}', 'Room {n}', id, 1, 1, 1, '' FROM users"
            )).await.unwrap();
        }
        app.start_again().await;
        let (mut slugs, mut pages, mut after) = (Vec::new(), 0, String::new());
        loop {
            let page: Rooms = bot.get(&format!("/api/rooms{after}")).await.json();
            slugs.extend(page.rooms.iter().map(|room| room.room.to_string()));
            pages += 1;
            let Some(next) = page.next else { break };
            after = format!("?after={next}");
        }
        assert_eq!((slugs.len(), pages), (253, 3));
        assert!(slugs.is_sorted(), "{slugs:?}");
    }

    async fn who_is_no_member_reads_and_sends_nothing(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        ada.post("/api/rooms", json!({ "name": "Tea" })).await;
        ada.say("tea", "a secret").await;
        let send = json!({ "id": new_id(), "text": "hi" });
        for reply in [
            bob.get("/api/rooms/tea/messages").await,
            bob.get("/api/rooms/tea/messages?after=0").await,
            bob.get("/api/rooms/tea/members").await,
            bob.post("/api/rooms/tea/messages", send.clone()).await,
            bob.post("/api/rooms/tea/read", json!({ "seq": 1 })).await,
        ] {
            assert_eq!((reply.status, reply.problem().as_str()), (403, "not_member"));
        }
        for path in ["/api/rooms/nowhere", "/api/rooms/nowhere/messages", "/api/rooms/nowhere/members", "/api/rooms/No%20Slug", "/api/rooms/%FF"] {
            let reply = bob.get(path).await;
            assert_eq!((reply.status, reply.problem().as_str()), (404, "no_room"), "{path}");
        }
        for path in ["join", "leave", "close", "reopen"] {
            assert_eq!(bob.act(&format!("/api/rooms/nowhere/{path}")).await.problem(), "no_room", "{path}");
        }
        assert_eq!(bob.post("/api/rooms/nowhere/messages", send).await.problem(), "no_room");
        assert_eq!(bob.post("/api/rooms/nowhere/read", json!({ "seq": 1 })).await.problem(), "no_room");
    }

    async fn what_is_sent_is_heard_on_the_socket_and_read_on_the_page(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.sign_up("bob").await);
        let mut socket = bob.live().await;
        let seq = ada.say("general", "good morning").await;
        let heard = socket.message("good morning").await;
        assert_eq!((heard.by.user.as_str(), heard.seq), ("ada", seq));
        bob.post("general", "and to you").await;
        let page = messages(&ada, "").await;
        assert_eq!(texts(&page), ["good morning", "and to you"]);
        assert_eq!(page.epoch, bob.epoch().await);
        assert_eq!(bob.page("general").await.events.iter().cloned().filter_map(Logged::of).collect::<Vec<_>>(), page.events);
        assert_eq!(page.as_of, page.events.last().unwrap().seq());
    }

    async fn a_message_sent_again_is_there_once(app: TestApp) {
        let ada = app.register("ada").await;
        let id = new_id();
        let send = async |room: &str, text: &str| ada.post(&format!("/api/rooms/{room}/messages"), json!({ "id": id, "text": text })).await;
        let first = send("general", "once").await;
        let again = send("general", "once").await;
        assert_eq!((first.status, again.status), (201, 200));
        assert_eq!(first.json::<SentMessage>(), again.json());
        ada.act("/api/rooms/random/join").await;
        assert_eq!(send("general", "twice").await.problem(), "conflict");
        assert_eq!(send("random", "once").await.problem(), "conflict");
        assert_eq!(texts(&messages(&ada, "").await), ["once"]);
    }

    async fn a_log_is_read_in_pages_both_ways(app: TestApp) {
        let ada = app.register("ada").await;
        let mut socket = ada.socket("/ws").await.unwrap();
        socket.hello().await;
        let said: Vec<String> = (0..120).map(|n| format!("{n}")).collect();
        for text in &said {
            socket.say("general", text).await;
        }
        let latest = messages(&ada, "").await;
        assert_eq!(texts(&latest), &said[70..]);
        assert_eq!(latest.after, None);
        let mut back = Vec::new();
        let mut page = latest;
        loop {
            back.splice(0..0, texts(&page).into_iter().map(str::to_owned));
            let Some(before) = page.before else { break };
            page = messages(&ada, &format!("?before={before}")).await;
        }
        assert_eq!(back, said);
        let mut on = Vec::new();
        let mut page = messages(&ada, "?after=0").await;
        loop {
            on.extend(texts(&page).into_iter().map(str::to_owned));
            let Some(after) = page.after else { break };
            page = messages(&ada, &format!("?after={after}")).await;
        }
        assert_eq!(on, said);
        let end = page.as_of;
        assert_eq!(messages(&ada, &format!("?after={end}")).await.events, [], "nothing is after the end");
        for wrong in ["?before=1&after=1", "?before=many", "?around=1", "?before="] {
            assert_eq!(ada.get(&format!("/api/rooms/general/messages{wrong}")).await.problem(), "bad_request", "{wrong}");
        }
    }

    async fn what_one_has_read_counts_on_every_device(app: TestApp) {
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        let seq = ada.say("general", "one").await;
        ada.say("general", "two").await;
        assert_eq!(room(&bob, "general").await.unread, 2);
        let mut socket = bob.socket("/ws").await.unwrap();
        socket.hello().await;
        assert_eq!(bob.post("/api/rooms/general/read", json!({ "seq": seq })).await.status, 204);
        socket.until(|event| matches!(event, Event::Read { unread: 1, .. })).await;
        let seen = room(&bob, "general").await;
        assert_eq!((seen.read, seen.unread), (seq, 1));
        for earlier_or_none in [0, 1_000_000] {
            assert_eq!(bob.post("/api/rooms/general/read", json!({ "seq": earlier_or_none })).await.status, 204);
        }
        assert_eq!(room(&bob, "general").await.read, seq);
    }

    async fn a_text_and_a_name_have_the_same_bounds_as_elsewhere(app: TestApp) {
        let ada = app.register("ada").await;
        let send = async |text: String| ada.post("/api/rooms/general/messages", json!({ "id": new_id(), "text": text })).await;
        assert_eq!(send("ж".repeat(4000)).await.status, 201);
        assert_eq!(send("x".repeat(4001)).await.json::<Refusal>(), Refusal::TooLong { field: snug::protocol::Field::Text, max: 4000 });
        assert_eq!(send(" \n".to_owned()).await.problem(), "empty");
        assert_eq!(ada.post("/api/rooms/general/messages", json!({ "id": "1", "text": "x" })).await.problem(), "bad_request");
        let make = async |name: &str| ada.post("/api/rooms", json!({ "name": name })).await;
        assert_eq!(make("").await.problem(), "empty");
        assert_eq!(make(&"x".repeat(65)).await.problem(), "too_long");
        assert_eq!(make("a\u{202E}b").await.problem(), "bad_form");
        assert_eq!(ada.post("/api/rooms", json!({ "name": "Tea", "idle": "fortnight" })).await.problem(), "bad_request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_one_may_not_see_is_not_there() {
    let mut app = TestApp::start(crate::support::Engine::Sqlite).await;
    let (ada, bob) = (app.register("ada").await, app.register("bob").await);
    ada.post("/api/rooms", json!({ "name": "Tea" })).await;
    app.stop().await;
    app.sql("UPDATE rooms SET kind = 'private' WHERE slug = 'tea'").await.unwrap();
    app.start_again().await;
    assert_eq!(room(&ada, "tea").await.members, 1);
    for path in ["", "/messages", "/members"] {
        assert_eq!(bob.get(&format!("/api/rooms/tea{path}")).await.problem(), "no_room", "{path}");
    }
    assert_eq!(bob.act("/api/rooms/tea/join").await.problem(), "no_room");
    assert_eq!(bob.post("/api/rooms/tea/read", json!({ "seq": 1 })).await.problem(), "no_room");
    assert_eq!(bob.get("/api/rooms").await.json::<Rooms>().rooms.len(), 3);
}
