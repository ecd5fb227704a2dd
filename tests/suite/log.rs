//! The log of a room: places without a gap, and messages that are there once however often they are sent.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use snug::protocol::{Command, Event, Refusal, Seq};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::support::{Engine, TestApp, message, new_id, on_both, send};

on_both! {
    async fn places_have_no_gap_whatever_happens_at_once(app: TestApp) {
        let people = join_all(["ada", "bob", "cyd", "dan", "eve", "fay"].map(|user| app.sign_up(user))).await;
        let reader = app.sign_up("zoe").await;
        people[0].create_room("Garden").await;
        reader.join("garden").await;
        let mut watching = reader.live().await;
        let busy = people.iter().enumerate().map(|(number, person)| async move {
            let mut chance = StdRng::seed_from_u64(number as u64);
            let mut socket = person.live().await;
            for turn in 0..40 {
                match chance.random_range(0..10) {
                    0 => drop(person.post_json("leave_room", &[("room", "garden")]).await),
                    1 | 2 => drop(person.post_json("join_room", &[("room", "garden")]).await),
                    3 => {
                        let nonce = new_id().to_string();
                        let fields = [("room", "garden"), ("nonce", nonce.as_str()), ("text", "by form")];
                        drop(person.post_json("post_message", &fields).await);
                    }
                    _ => {
                        let (id, command) = message("garden", &format!("{turn} of {number}"));
                        socket.send(&command).await;
                        socket.until(|event| match event {
                            Event::Message(message) => message.id == id,
                            Event::Error { id: refused, why, .. } => *refused == Some(id) && *why == Refusal::NotMember,
                            _ => false,
                        }).await;
                    }
                }
            }
        });
        join_all(busy).await;
        let log = reader.log("garden").await;
        let seqs: Vec<i64> = log.iter().map(|event| event.place().unwrap().1.0).collect();
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
        assert_eq!(reader.page("garden").await.as_of, Seq(seqs.len() as i64));
        let last = Seq(seqs.len() as i64);
        let heard = watching.collect_until(|event| event.place().is_some_and(|(_, seq)| seq == last)).await;
        let heard: Vec<Event> = heard.into_iter().filter(|event| event.place().is_some()).collect();
        assert_eq!(heard, log[2..], "live, it is the same as read");
        for event in &log {
            assert_eq!(event.place().unwrap().0.as_str(), "garden");
        }
    }

    async fn the_same_message_again_is_acknowledged_and_takes_no_place(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let (mut socket, mut listener) = (ada.live().await, bob.live().await);
        let (seq, id) = socket.say("general", "once").await;
        for _ in 0..3 {
            socket.send(&send("general", id, "once")).await;
            let answer = socket.until(|event| matches!(event, Event::Sent { id: sent, .. } if *sent == id)).await;
            assert_eq!(answer, Event::Sent { room: crate::support::slug("general"), id, seq });
        }
        let (next, _) = socket.say("general", "next").await;
        assert_eq!(next, seq.next());
        let heard = listener.collect_until(|event| matches!(event, Event::Message(message) if message.text == "next")).await;
        assert_eq!(heard.len(), 2, "others hear it once: {heard:?}");
        assert_eq!(ada.copies("general", id).await, 1);
    }

    async fn the_same_message_from_another_socket_is_the_same_message(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let elsewhere = app.log_in("ada").await;
        let (mut here, mut there) = (ada.live().await, elsewhere.live().await);
        let id = new_id();
        let command = send("general", id, "once");
        tokio::join!(here.send(&command), there.send(&command));
        let (one, other) = tokio::join!(here.acknowledged(id), there.acknowledged(id));
        assert_eq!(one, other);
        assert_eq!(ada.copies("general", id).await, 1);
    }

    async fn who_hears_no_room_is_told_of_each_message_that_it_is_there(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut listener = ada.live().await;
        let mut socket = ada.socket().await;
        for _ in 0..3 {
            let (id, command) = message("general", "by who only sends");
            socket.send(&command).await;
            let answer = socket.next_event().await;
            let heard = listener.until(|event| matches!(event, Event::Message(message) if message.id == id)).await;
            let (room, seq) = heard.place().expect("a place");
            assert_eq!(answer, Event::Sent { room: room.clone(), id, seq });
        }
        // That its person comes into a room, by this socket or another way, changes nothing of it.
        socket.send(&Command::Join { room: crate::support::slug("random") }).await;
        listener.until(|event| matches!(event, Event::Joined(joined) if joined.room.as_str() == "random")).await;
        for room in ["general", "random"] {
            let (id, command) = message(room, "by who only sends");
            socket.send(&command).await;
            assert!(matches!(socket.next_event().await, Event::Sent { id: sent, .. } if sent == id), "{room}");
        }
        socket.hello().await;
        let (id, command) = message("general", "by who hears it");
        socket.send(&command).await;
        let answer = socket.next_event().await;
        assert!(matches!(&answer, Event::Message(message) if message.id == id), "its own event is enough: {answer:?}");
    }

    async fn a_message_is_itself_after_a_restart(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        let (seq, id) = ada.live().await.say("general", "once").await;
        app.restart().await;
        let mut socket = ada.live().await;
        socket.send(&send("general", id, "once")).await;
        assert_eq!(socket.acknowledged(id).await, seq);
    }

    async fn an_id_names_one_text_in_one_room(app: TestApp) {
        let ada = app.sign_up("ada").await;
        ada.join("random").await;
        let mut socket = ada.live().await;
        let (_, id) = socket.say("general", "this").await;
        socket.send(&send("general", id, "that")).await;
        assert_eq!(socket.refused(id).await, Refusal::Conflict);
        socket.send(&send("random", id, "this")).await;
        assert_eq!(socket.refused(id).await, Refusal::Conflict);
        assert_eq!((ada.copies("general", id).await, ada.copies("random", id).await), (1, 0));
    }

    async fn two_people_may_choose_the_same_id(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let (mut one, mut other) = (ada.live().await, bob.live().await);
        let id = new_id();
        one.send(&send("general", id, "mine")).await;
        let first = one.acknowledged(id).await;
        other.send(&send("general", id, "mine too")).await;
        other.until(|event| matches!(event, Event::Message(message) if message.id == id && message.by.user == "bob")).await;
        let log = ada.log("general").await;
        assert_eq!(log.iter().filter(|event| event.place().unwrap().1 >= first).count(), 2);
        assert_eq!(ada.copies("general", id).await, 2);
    }

    async fn of_one_message_many_times_in_a_batch_one_is_kept(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let id = new_id();
        for _ in 0..50 {
            socket.feed(&send("general", id, "again and again")).await;
        }
        socket.flush().await;
        let mut places = Vec::new();
        let mut messages = 0;
        while places.len() < 50 {
            match socket.next_event().await {
                Event::Message(message) if message.id == id => {
                    messages += 1;
                    places.push(message.seq);
                }
                Event::Sent { id: sent, seq, .. } if sent == id => places.push(seq),
                other => panic!("{other:?}"),
            }
        }
        places.dedup();
        assert_eq!((messages, places.len()), (1, 1));
        assert_eq!(ada.copies("general", id).await, 1);
    }

    async fn of_different_texts_under_one_id_in_a_batch_one_is_kept(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let id = new_id();
        for n in 0..20 {
            socket.feed(&send("general", id, &format!("text {n}"))).await;
        }
        socket.flush().await;
        let (mut kept, mut refused) = (0, 0);
        while kept + refused < 20 {
            match socket.next_event().await {
                Event::Message(message) if message.id == id => kept += 1,
                Event::Error { id: Some(of), why: Refusal::Conflict, .. } if of == id => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((kept, refused), (1, 19));
        assert_eq!(ada.copies("general", id).await, 1);
    }

    async fn a_bad_message_does_not_take_its_batch_with_it(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let good: Vec<_> = (0..5).map(|n| message("general", &format!("good {n}"))).collect();
        let bad = [message("random", "not a member"), message("no-such-room", "nowhere"), message("general", " \n ")];
        for (_, command) in good.iter().zip(bad.iter().cycle()).flat_map(|(good, bad)| [good, bad]) {
            socket.feed(command).await;
        }
        socket.flush().await;
        for (id, _) in &good {
            socket.acknowledged(*id).await;
        }
        let texts: Vec<_> = ada.log("general").await.into_iter()
            .filter_map(|event| if let Event::Message(message) = event { Some(message.text) } else { None })
            .collect();
        assert_eq!(texts, ["good 0", "good 1", "good 2", "good 3", "good 4"]);
    }

    async fn a_message_that_is_there_is_acknowledged_even_to_who_has_left(app: TestApp) {
        let ada = app.sign_up("ada").await;
        ada.join("random").await;
        let mut socket = ada.live().await;
        let (seq, id) = socket.say("random", "and goodbye").await;
        ada.leave("random").await;
        socket.until(|event| matches!(event, Event::Left(_))).await;
        socket.send(&send("random", id, "and goodbye")).await;
        assert_eq!(socket.acknowledged(id).await, seq);
        let (id, command) = message("random", "one more");
        socket.send(&command).await;
        assert_eq!(socket.refused(id).await, Refusal::NotMember);
    }

    async fn a_database_of_before_messages_were_their_own_events_keeps_its_log(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        let bob = app.sign_up("bob").await;
        for text in ["one", "two"] {
            ada.post("general", text).await;
        }
        bob.leave("general").await;
        let log = ada.log("general").await;
        assert!(log.len() > 4, "{log:?}");
        app.stop().await;
        app.make_old().await;
        app.start_again().await;
        assert_eq!(ada.log("general").await, log);
        assert_eq!(ada.log_after("general", Seq(2)).await, log[2..]);
        bob.join("general").await;
        ada.post("general", "three").await;
        let seqs: Vec<i64> = ada.log("general").await.iter().map(|event| event.place().unwrap().1.0).collect();
        assert_eq!(seqs, (1..=i64::try_from(log.len()).unwrap() + 2).collect::<Vec<_>>());
    }

    async fn a_place_in_the_log_is_taken_once_whoever_writes_it(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        ada.post("general", "here").await;
        let before = ada.log("general").await;
        app.stop().await;
        let place = |row: &str| format!("SELECT {row} FROM messages m JOIN rooms r ON r.id = m.room_id WHERE m.text = 'here'");
        let taken = [
            // Where a join is.
            ("messages (room_id, seq, author_id, id, text, at, changed_seq)", place("m.room_id, 1, m.author_id, m.room_id, 'again', m.at, 1")),
            // Where a message is.
            ("changes (room_id, seq, kind, at)", place("m.room_id, m.seq, 'closed', m.at")),
        ];
        for (into, place) in taken {
            assert!(app.sql(&format!("INSERT INTO {into} {place}")).await.is_err(), "{into}");
        }
        app.sql(&beyond_the_end("m.room_id")).await.expect("beyond the end there is room");
        app.start_again().await;
        assert_eq!(ada.log("general").await, before, "what is beyond a room's end is not told");
    }

    async fn what_is_sent_before_a_hello_is_told_of_whatever_the_hello_says(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.socket().await;
        let mut open: HashSet<Uuid> = HashSet::new();
        for number in 0..20 {
            let (id, command) = message("general", &format!("{number}, while it says hello"));
            socket.feed(&command).await;
            open.insert(id);
        }
        // Its cursors begin somewhere among these.
        socket.feed(&Command::Hello { rooms: BTreeMap::new(), epoch: None, look: None }).await;
        socket.flush().await;
        while !open.is_empty() {
            if let Event::Sent { id, .. } = socket.next_event().await {
                assert!(open.remove(&id), "told of it once");
            }
        }
        let (id, command) = message("general", "after it");
        socket.send(&command).await;
        let answer = socket.answer(id).await;
        assert!(matches!(answer, Event::Message(_)), "{answer:?}");
    }

    async fn who_says_hello_again_goes_on_where_they_were(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let mut open = Vec::new();
        for number in 0..20 {
            let (id, command) = message("general", &format!("{number}, between two"));
            socket.feed(&command).await;
            open.push(id);
        }
        socket.feed(&Command::Hello { rooms: BTreeMap::new(), epoch: None, look: None }).await;
        socket.flush().await;
        let mut heard = Vec::new();
        while heard.len() < open.len() {
            if let Event::Message(message) = socket.next_event().await {
                heard.push(message.id);
            }
        }
        assert_eq!(heard, open, "each once and in order, whenever it was committed");
    }

    async fn an_author_stays_among_the_members_of_the_room(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        ada.post("general", "here").await;
        let log = ada.log("general").await;
        app.stop().await;
        let help = "SET room_id = (SELECT id FROM rooms WHERE slug = 'help')";
        for change in ["DELETE FROM members".to_owned(), format!("UPDATE members {help}"), format!("UPDATE messages {help}")] {
            assert!(app.sql(&change).await.is_err(), "{change}");
        }
        app.sql("UPDATE members SET role = 'owner'").await.expect("what they may do there can change");
        app.start_again().await;
        assert_eq!(ada.log("general").await, log);
    }

    async fn an_author_has_one_message_with_an_id(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        ada.post("general", "here").await;
        app.stop().await;
        assert!(app.sql(&beyond_the_end("m.id")).await.is_err(), "the same id");
        app.sql(&beyond_the_end("m.room_id")).await.expect("another id");
    }

    async fn a_text_comes_back_as_it_was_sent(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        for text in ["two\nlines", "  indented", "<script>alert(1)</script>", "\"quoted\" \\ and \u{202e}turned", "👩‍👩‍👧‍👦 é e\u{301}", "a\u{2028}b\u{2029}c", "{\"type\":\"pong\"}"] {
            let (seq, _) = socket.say("general", text).await;
            let log = ada.log_after("general", Seq(seq.0 - 1)).await;
            assert!(matches!(&log[..], [Event::Message(message)] if message.text.trim() == text.trim()), "{text:?}: {log:?}");
        }
    }

    async fn a_text_with_a_nul_is_stored_or_refused_but_breaks_nothing(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        let (id, command) = message("general", "a\0b");
        socket.send(&command).await;
        let answer = socket.answer(id).await;
        assert!(!matches!(answer, Event::Error { why: Refusal::Internal | Refusal::Unavailable, .. }), "{answer:?}");
        socket.say("general", "and on").await;
    }

    async fn a_message_says_when_it_was_and_later_ones_are_not_before(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        for text in ["one", "two", "three"] {
            socket.say("general", text).await;
        }
        let times: Vec<i64> = ada.log("general").await.iter().map(|event| match event {
            Event::Message(message) => message.at.0,
            Event::Joined(change) | Event::Left(change) => change.at.0,
            other => panic!("{other:?}"),
        }).collect();
        assert!(times.is_sorted(), "{times:?}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64;
        assert!(times.iter().all(|at| (now - at).abs() < 600_000_000), "{times:?} in the year of {now}");
    }
}

/// The statement that adds a message of the author of `here`, with this id, at the next place of its room.
fn beyond_the_end(id: &str) -> String {
    format!(
        "INSERT INTO messages (room_id, seq, author_id, id, text, at, changed_seq)
         SELECT m.room_id, r.last_seq + 1, m.author_id, {id}, 'further', m.at, r.last_seq + 1
         FROM messages m JOIN rooms r ON r.id = m.room_id WHERE m.text = 'here'"
    )
}

#[tokio::test]
async fn who_says_hello_again_is_told_what_became_of_their_rooms_on_another_node() {
    let app = TestApp::start(Engine::Postgres).await;
    let other = app.beside().await;
    let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
    let (ada_there, bob_there) = (other.log_in("ada").await, other.log_in("bob").await);
    let mut socket = ada.live().await;
    bob_there.join("random").await;
    ada_there.join("random").await;
    bob_there.post("random", "there you are").await;
    socket.hello().await;
    assert!(matches!(socket.next_event().await, Event::Joined(joined) if joined.by.user == "ada"), "from the join on");
    assert!(matches!(socket.next_event().await, Event::Message(message) if message.text == "there you are"));

    ada_there.leave("random").await;
    socket.hello().await;
    assert!(matches!(socket.next_event().await, Event::Left(left) if left.by.user == "ada"));
    bob.post("random", "now that we are alone").await;
    bob.post("general", "good morning").await;
    assert!(
        matches!(socket.next_event().await, Event::Message(message) if message.text == "good morning"),
        "and hears no more of it"
    );
}

#[tokio::test]
async fn who_leaves_on_another_node_while_a_socket_says_hello_hears_nothing_more() {
    let app = TestApp::start(Engine::Postgres).await;
    let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
    let mut socket = ada.socket().await;
    let mut other = PgConnection::connect(app.database_url().unwrap()).await.unwrap();
    // Whose rooms they are is known by then, and what they are is not.
    other.execute("BEGIN; LOCK TABLE rooms IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let leaving = async {
        app.lock_is_waited_for().await;
        let leaves = "WITH gone AS (UPDATE rooms SET last_seq = last_seq + 1, member_count = member_count - 1
                                    WHERE slug = 'general' RETURNING id, last_seq)
                      UPDATE members m SET until_seq = gone.last_seq FROM gone, users u
                      WHERE m.room_id = gone.id AND m.user_id = u.id AND u.username = 'ada'; COMMIT";
        other.execute(leaves).await.unwrap();
    };
    let (hello, ()) = tokio::join!(socket.hello(), leaving);
    assert!(!hello.has("general"));
    bob.post("general", "now that we are alone").await;
    socket.send(&Command::Ping).await;
    assert!(matches!(socket.next_event().await, Event::Pong));
}

#[tokio::test]
async fn a_message_to_a_room_joined_on_another_node_is_acknowledged() {
    let app = TestApp::start(Engine::Postgres).await;
    let other = app.beside().await;
    let ada = app.sign_up("ada").await;
    let mut socket = ada.live().await;
    other.log_in("ada").await.join("random").await;
    let (id, command) = message("random", "can you hear me?");
    socket.send(&command).await;
    assert!(matches!(socket.next_event().await, Event::Sent { id: sent, seq: Seq(2), .. } if sent == id));
}

#[tokio::test]
async fn an_old_message_that_is_sent_again_sends_nobody_to_the_log() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
    let sent: Vec<_> = (0..5).map(|n| message("general", &format!("number {n}"))).collect();
    let mut socket = ada.live().await;
    for (id, command) in &sent {
        socket.send(command).await;
        socket.acknowledged(*id).await;
    }
    // The server has not handed on anything since it was started.
    app.restart().await;
    let (mut socket, mut bobs) = (ada.live().await, bob.live().await);
    for (id, command) in &sent {
        socket.send(command).await;
        assert!(matches!(socket.next_event().await, Event::Sent { id: again, .. } if again == *id));
    }
    bobs.send(&Command::Ping).await;
    assert!(matches!(bobs.next_event().await, Event::Pong));
    let metrics = app.visitor().get("/metrics").await.body;
    assert!(metrics.contains("\nsnug_resyncs_total{how=\"log\"} 0\n"), "{metrics}");
}
