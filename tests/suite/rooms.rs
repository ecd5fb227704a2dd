//! Making rooms, joining and leaving them, and what who is no member does not get.

use serde_json::json;
use snug::protocol::{Event, Field, Refusal, RoomPage, Seq};

use crate::support::{Socket, TestApp, message, on_both};

on_both! {
async fn a_rooms_slug_is_made_from_its_name(app: TestApp) {
    let ada = app.sign_up("ada").await;
    for (name, slug) in [("The  Garden!", "the-garden"), ("Café Über", "cafe-uber"), ("2026 – plans", "2026-plans")] {
        assert_eq!(ada.create_room(name).await.as_str(), slug);
        assert_eq!(ada.page(slug).await.name, name.split_whitespace().collect::<Vec<_>>().join(" "));
    }
}

async fn rooms_of_one_name_have_slugs_of_their_own(app: TestApp) {
    let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
    let made = futures_util::future::join_all([&ada, &bob, &ada, &bob].map(|person| person.create_room("Garden"))).await;
    let mut slugs: Vec<_> = made.iter().map(|slug| slug.as_str()).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), 4, "{made:?}");
    assert!(slugs.contains(&"garden"), "{made:?}");
    assert!(slugs.iter().all(|slug| slug.starts_with("garden")), "{made:?}");
}

async fn a_name_without_a_letter_of_ascii_has_a_slug_too(app: TestApp) {
    let ada = app.sign_up("ada").await;
    for name in ["庭", "🌱🌱", "!!!", &"ш".repeat(64)] {
        let slug = ada.create_room(name).await;
        assert_eq!(ada.page(slug.as_str()).await.name, name);
    }
}

async fn who_makes_a_room_is_its_first_member(app: TestApp) {
    let ada = app.sign_up("ada").await;
    let room = ada.create_room("Garden").await;
    let page = ada.page(room.as_str()).await;
    assert!(page.member);
    assert_eq!(page.members, 1);
    let log = ada.log(room.as_str()).await;
    assert!(matches!(log.as_slice(), [Event::Joined(joined)] if joined.by.user == "ada" && joined.seq.0 == 1), "{log:?}");
}

async fn a_rooms_name_has_bounds(app: TestApp) {
    let ada = app.sign_up("ada").await;
    let create = async |name: &str, topic: &str| ada.ask::<()>("create_room", &[("name", name), ("topic", topic)]).await;
    assert_eq!(create("", "").await, Err(Refusal::Empty { field: Field::Name }));
    assert_eq!(create(" \t ", "").await, Err(Refusal::Empty { field: Field::Name }));
    assert_eq!(create(&"x".repeat(65), "").await, Err(Refusal::TooLong { field: Field::Name, max: 64 }));
    assert_eq!(create("Garden", &"x".repeat(201)).await, Err(Refusal::TooLong { field: Field::Topic, max: 200 }));
    assert_eq!(create(&"x".repeat(64), &"x".repeat(200)).await, Ok(()));
}

async fn a_room_shows_its_name_and_all_of_it(app: TestApp) {
    let (ada, bot) = (app.sign_up("ada").await, app.register("bot").await);
    let create = async |name: &str, topic: &str| {
        let fields = [("name", name), ("topic", topic)];
        let page = ada.ask::<()>("create_room", &fields).await;
        let form = ada.post_form("create_room", &fields).await;
        let reply = bot.post("/api/rooms", json!({ "name": name, "topic": topic })).await;
        let refused = page.as_ref().err().map(Refusal::status);
        assert_eq!((form.status, reply.status), (refused.unwrap_or(303), refused.unwrap_or(201)), "{name:?}: {}", reply.body);
        page
    };
    let hidden = ["\u{3164}", "\u{115f}\u{1160}", "\u{ffa0}", "\u{2800}", "\u{301}"];
    for name in hidden.into_iter().chain(["general\u{200d}", "gen\u{200c}eral", "general\u{fe0f}", "gene\u{34f}ral", "Tea\u{e0100}"]) {
        assert_eq!(create(name, "").await, Err(Refusal::BadForm { field: Field::Name }), "{name:?}");
        assert_eq!(create("Tea", name).await, Err(Refusal::BadForm { field: Field::Topic }), "{name:?}");
    }
    for name in ["👩‍💻", "❤️ letters", "❤️‍🔥", "1️⃣"] {
        assert_eq!(create(name, name).await, Ok(()), "{name:?}");
    }
}

async fn joining_and_leaving_change_the_list_and_the_log(app: TestApp) {
    let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
    let room = ada.create_room("Garden").await;
    assert!(!bob.room_in_list("garden").await.member);
    bob.join("garden").await;
    let item = bob.room_in_list("garden").await;
    assert_eq!((item.member, item.members), (true, 2));
    bob.leave("garden").await;
    let item = bob.room_in_list("garden").await;
    assert_eq!((item.member, item.members), (false, 1));
    let log: Vec<_> = ada.log(room.as_str()).await.iter().map(said).collect();
    assert_eq!(log, ["1 ada joined", "2 bob joined", "3 bob left"]);
}

async fn joining_or_leaving_again_changes_nothing(app: TestApp) {
    let ada = app.sign_up("ada").await;
    ada.join("random").await;
    let log = ada.log("random").await;
    let _ = ada.post_json("join_room", &[("room", "random")]).await;
    assert_eq!(ada.log("random").await, log);
    ada.leave("random").await;
    let mut socket = ada.live().await;
    let seq = ada.page("random").await.as_of;
    let _ = ada.post_json("leave_room", &[("room", "random")]).await;
    assert_eq!(ada.page("random").await.as_of, seq);
    socket.drain().await;
}

async fn who_is_no_member_cannot_read(app: TestApp) {
    let (ada, eve) = (app.sign_up("ada").await, app.sign_up("eve").await);
    ada.create_room("Garden").await;
    ada.post("garden", "the beans are up").await;
    let page = eve.page("garden").await;
    assert_eq!((page.member, page.events.len(), page.older, page.newer), (false, 0, None, false));
    assert!(eve.page_after("garden", Seq(0)).await.events.is_empty());
    assert!(eve.page_before("garden", Seq(3)).await.events.is_empty());
    for path in ["/room/garden", "/room/garden?before=9", "/room/garden?after=0"] {
        let html = eve.get(path).await;
        assert_eq!(html.status, 200, "{path}");
        assert!(!html.body.contains("the beans are up"), "{path}");
    }
    assert!(ada.get("/room/garden").await.body.contains("the beans are up"), "a member reads it");
}

async fn who_left_reads_nothing_and_who_comes_back_reads_all(app: TestApp) {
    let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
    ada.create_room("Garden").await;
    bob.join("garden").await;
    ada.post("garden", "one").await;
    bob.leave("garden").await;
    ada.post("garden", "two").await;
    assert!(bob.page("garden").await.events.is_empty());
    bob.join("garden").await;
    assert_eq!(bob.log("garden").await, ada.log("garden").await);
    assert_eq!(bob.log("garden").await.len(), 6);
}

async fn who_is_no_member_cannot_send(app: TestApp) {
    let (ada, eve) = (app.sign_up("ada").await, app.sign_up("eve").await);
    ada.create_room("Garden").await;
    let mut socket = eve.live().await;
    let (id, command) = message("garden", "let me in");
    socket.send(&command).await;
    assert_eq!(socket.refused(id).await, Refusal::NotMember);
    let nonce = crate::support::new_id().to_string();
    let posted = eve.ask::<()>("post_message", &[("room", "garden"), ("nonce", &nonce), ("text", "let me in")]).await;
    assert_eq!(posted, Err(Refusal::NotMember));
    assert_eq!(ada.log("garden").await.len(), 1, "nothing but the first joining");
}

async fn who_is_no_member_hears_nothing(app: TestApp) {
    let (ada, eve) = (app.sign_up("ada").await, app.sign_up("eve").await);
    ada.create_room("Garden").await;
    let (mut speaker, mut listener) = (ada.live().await, eve.socket().await);
    let epoch = Some(eve.epoch().await);
    let welcome = listener.hello_with(&[("garden", snug::protocol::Seq::ZERO)], epoch, Some("garden")).await;
    assert!(!welcome.has("garden"), "to name a room is not to be in it");
    speaker.say("garden", "the beans are up").await;
    speaker.say("general", "done").await;
    let heard = listener.collect_until(|event| matches!(event, Event::Message(message) if message.text == "done")).await;
    let of_garden = |event: &&Event| event.place().is_some_and(|(room, _)| room.as_str() == "garden") || matches!(event, Event::Presence(_));
    assert_eq!(heard.iter().filter(of_garden).count(), 0, "{heard:?}");
}

async fn after_leaving_one_hears_nothing_more(app: TestApp) {
    let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
    ada.create_room("Garden").await;
    bob.join("garden").await;
    let (mut speaker, mut listener) = (ada.live().await, bob.live().await);
    speaker.say("garden", "before").await;
    bob.leave("garden").await;
    speaker.say("garden", "after").await;
    speaker.say("general", "done").await;
    let heard = heard(&mut listener).await;
    assert_eq!(heard, ["3 ada: before", "4 bob left"], "the last event of the room is one's own leaving");
}

async fn joining_from_another_door_reaches_the_socket(app: TestApp) {
    let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
    ada.create_room("Garden").await;
    let (mut speaker, mut listener) = (ada.live().await, bob.live().await);
    bob.join("garden").await;
    speaker.say("garden", "after").await;
    speaker.say("general", "done").await;
    assert_eq!(heard(&mut listener).await, ["2 bob joined", "3 ada: after"]);
}

async fn a_socket_joins_and_leaves(app: TestApp) {
    let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
    ada.create_room("Garden").await;
    let (mut speaker, mut listener) = (ada.live().await, bob.live().await);
    listener.send_text(r#"{"type":"join","room":"garden"}"#).await;
    listener.until(|event| matches!(event, Event::Joined(joined) if joined.by.user == "bob")).await;
    speaker.say("garden", "hello bob").await;
    listener.message("hello bob").await;
    listener.send_text(r#"{"type":"leave","room":"garden"}"#).await;
    listener.until(|event| matches!(event, Event::Left(left) if left.by.user == "bob")).await;
    assert!(!bob.room_in_list("garden").await.member);
    listener.send_text(r#"{"type":"join","room":"no-such-room"}"#).await;
    assert_eq!(listener.error().await, Refusal::NoRoom);
}

async fn a_room_that_is_not_there_is_said_to_be_not_there(app: TestApp) {
    let ada = app.sign_up("ada").await;
    for action in ["join_room", "leave_room", "read_room"] {
        let refusal = ada.ask::<serde_json::Value>(action, &[("room", "no-such-room")]).await.unwrap_err();
        assert_eq!(refusal, Refusal::NoRoom, "{action}");
    }
    let mut socket = ada.live().await;
    let (id, command) = message("no-such-room", "hello?");
    socket.send(&command).await;
    assert_eq!(socket.refused(id).await, Refusal::NoRoom);
}

async fn ones_own_rooms_come_first_in_the_list(app: TestApp) {
    let ada = app.sign_up("ada").await;
    ada.create_room("Zebra").await;
    app.sign_up("bob").await.create_room("Aardvark").await;
    let rooms = ada.rooms().await;
    let mine: Vec<bool> = rooms.iter().map(|item| item.member).collect();
    assert!(mine.is_sorted_by_key(|member| !member), "{rooms:?}");
    for part in [true, false] {
        let names: Vec<_> = rooms.iter().filter(|item| item.member == part).map(|item| item.name.to_lowercase()).collect();
        assert!(names.is_sorted(), "{names:?}");
    }
}

async fn a_page_around_a_place_leads_on_both_ways(app: TestApp) {
    let ada = app.sign_up("ada").await;
    let mut socket = ada.live().await;
    let mut seqs = Vec::new();
    for number in 0..120 {
        seqs.push(socket.say("general", &number.to_string()).await.0);
    }
    let texts = |page: &RoomPage| -> Vec<usize> {
        let text = |event: &Event| if let Event::Message(message) = event { message.text.parse().ok() } else { None };
        page.events.iter().filter_map(text).collect()
    };
    let page = ada.page_at("general", seqs[60]).await;
    assert_eq!(texts(&page), (35..85).collect::<Vec<_>>(), "25 before it, and it and 24 after it");
    assert_eq!((page.older, page.newer), (Some(seqs[35]), true));
    assert_eq!(texts(&ada.page_before("general", page.older.expect("more")).await), (0..35).collect::<Vec<_>>());
    assert_eq!(texts(&ada.page_after("general", seqs[84]).await), (85..120).collect::<Vec<_>>());

    let page = ada.page_at("general", seqs[110]).await;
    assert_eq!((texts(&page), page.newer), ((85..120).collect::<Vec<_>>(), false), "the end");
    let page = ada.page_at("general", Seq(1)).await;
    assert_eq!((texts(&page).len(), page.older, page.newer), (25, None, true), "the beginning");
    for (seq, count) in [(i64::MIN, 25), (-5, 25), (0, 25), (i64::MAX, 25)] {
        assert_eq!(texts(&ada.page_at("general", Seq(seq)).await).len(), count, "{seq}");
    }
    for seq in [i64::MIN, i64::MAX] {
        ada.page_before("general", Seq(seq)).await;
        ada.page_after("general", Seq(seq)).await;
    }
}}

/// What a socket hears of the room `garden` until someone says "done".
async fn heard(socket: &mut Socket) -> Vec<String> {
    let events = socket.collect_until(|event| matches!(event, Event::Message(message) if message.text == "done")).await;
    events.iter().filter(|event| event.place().is_some_and(|(room, _)| room.as_str() == "garden")).map(said).collect()
}

/// An event of the log in a few words.
fn said(event: &Event) -> String {
    match event {
        Event::Message(message) => format!("{} {}: {}", message.seq, message.by.user, message.text),
        Event::Joined(joined) => format!("{} {} joined", joined.seq, joined.by.user),
        Event::Left(left) => format!("{} {} left", left.seq, left.by.user),
        other => panic!("{other:?} is no event of the log"),
    }
}
