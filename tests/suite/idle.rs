//! Rooms that close: by themselves when nobody says anything for long, or by hand; and what can be done with a closed one.

use futures_util::future::join_all;
use snug::protocol::{Event, Field, Idle, Micros, Person as By, Refusal, Seq};
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::support::{Engine, PATIENCE, Person, TestApp, message, new_id, on_both, send, within};

const HOUR: i64 = 3_600_000_000;

/// Later than anything in these tests.
const IN_A_CENTURY: Micros = Micros(4_900_000_000_000_000);

on_both! {
    async fn a_room_closes_after_its_time_without_a_message_and_not_a_moment_before(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for (idle, hours) in [("hour", 1), ("day", 24), ("week", 7 * 24), ("month", 30 * 24)] {
            let made = make(&ada, idle, idle).await;
            assert_eq!(app.close_idle(later(made, hours * HOUR - 1)).await, 0, "{idle}");
            assert!(!ada.page(idle).await.closed, "{idle}");
            assert_eq!(app.close_idle(later(made, hours * HOUR)).await, 1, "{idle}");
            let page = ada.page(idle).await;
            assert!(page.closed, "{idle}");
            assert_eq!(page.idle.as_str(), idle);
            assert_eq!(app.close_idle(later(made, hours * HOUR + 1)).await, 0, "{idle}: it is closed already");
        }
    }

    async fn a_message_restarts_the_clock_and_a_join_does_not(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let made = make(&ada, "Garden", "hour").await;
        ada.post("garden", "the beans are up").await;
        let said = last(&ada, "garden").await;
        bob.join("garden").await;
        bob.leave("garden").await;
        assert!(said > made && last(&ada, "garden").await > said);
        assert_eq!(app.close_idle(later(said, HOUR - 1)).await, 0);
        assert_eq!(app.close_idle(later(said, HOUR)).await, 1);
    }

    async fn a_message_sent_again_does_not_restart_the_clock(app: TestApp) {
        let ada = app.sign_up("ada").await;
        make(&ada, "Garden", "hour").await;
        let mut socket = ada.live().await;
        let (_, id) = socket.say("garden", "once").await;
        let said = last(&ada, "garden").await;
        socket.send(&send("garden", id, "once")).await;
        socket.acknowledged(id).await;
        assert_eq!(app.close_idle(later(said, HOUR)).await, 1);
    }

    async fn a_room_that_never_closes_stays_open(app: TestApp) {
        let ada = app.sign_up("ada").await;
        make(&ada, "Garden", "never").await;
        assert_eq!(app.close_idle(IN_A_CENTURY).await, 0);
        assert_eq!(ada.page("garden").await.idle, Idle::Never);
        assert!(ada.rooms().await.iter().all(|room| !room.closed));
    }

    async fn the_first_rooms_never_close_not_even_by_an_administrator(engine: Engine) {
        // Whatever the setting says.
        let app = TestApp::start_with(engine, |settings| settings.room_idle = Idle::Hour).await;
        let ada = app.sign_up("ada").await;
        assert!(ada.whoami().await.unwrap().admin);
        assert_eq!(app.close_idle(IN_A_CENTURY).await, 0);
        for room in ["general", "random", "help"] {
            let page = ada.page(room).await;
            assert_eq!((page.idle, page.closed, page.may_open), (Idle::Never, false, false), "{room}");
            assert_eq!(ada.ask::<()>("close_room", &[("room", room)]).await, Err(Refusal::NotAllowed), "{room}");
            ada.join(room).await;
            ada.post(room, "still open").await;
        }
    }

    async fn members_are_told_that_it_closed_and_who_comes_later_reads_it(app: TestApp) {
        let (ada, bob, eve) = (app.sign_up("ada").await, app.sign_up("bob").await, app.sign_up("eve").await);
        let made = make(&ada, "Garden", "hour").await;
        bob.join("garden").await;
        let mut sockets = vec![ada.live().await, bob.live().await];
        let mut outside = eve.live().await;
        let before = bob.page("garden").await.as_of;
        let at = later(made, HOUR);
        assert_eq!(app.close_idle(at).await, 1);
        for socket in &mut sockets {
            let Event::Closed(closed) = socket.until(|event| matches!(event, Event::Closed(_))).await else { unreachable!() };
            assert_eq!((closed.room.as_str(), closed.seq, closed.by, closed.at), ("garden", before.next(), None, at));
        }
        assert_eq!(outside.drain().await, [], "who is no member hears nothing");
        let log = bob.log("garden").await;
        let told: Vec<_> = log.iter().map(said).collect();
        assert_eq!(told, ["1 ada joined", "2 bob joined", "3 closed"]);
        assert_eq!(bob.page("garden").await.as_of, Seq(3));
        assert_eq!(bob.room_in_list("garden").await.active_at, at);
        // Who was away is told from the log.
        let mut back = bob.socket().await;
        let welcome = back.resume(bob.epoch().await, &[("garden", before)]).await;
        assert!(welcome.room("garden").closed && bob.room_in_list("garden").await.closed);
        assert_eq!(back.until(|event| matches!(event, Event::Closed(_))).await, log[2]);
    }

    async fn a_closed_room_can_be_read_and_left_and_takes_nothing_more(app: TestApp) {
        let (ada, bob, eve) = (app.sign_up("ada").await, app.sign_up("bob").await, app.sign_up("eve").await);
        make(&ada, "Garden", "hour").await;
        bob.join("garden").await;
        let mut socket = bob.live().await;
        let (seq, id) = socket.say("garden", "the beans are up").await;
        app.close_idle(IN_A_CENTURY).await;
        socket.until(|event| matches!(event, Event::Closed(_))).await;

        let (late, command) = message("garden", "and the peas");
        socket.send(&command).await;
        assert_eq!(socket.refused(late).await, Refusal::Closed);
        let nonce = new_id().to_string();
        let posted = ada.ask::<()>("post_message", &[("room", "garden"), ("nonce", &nonce), ("text", "by form")]).await;
        assert_eq!(posted, Err(Refusal::Closed));
        assert_eq!(eve.ask::<()>("join_room", &[("room", "garden")]).await, Err(Refusal::Closed));
        assert!(eve.rooms().await.iter().all(|item| item.room.as_str() != "garden"), "what cannot be joined is not offered");
        socket.send(&send("garden", id, "the beans are up")).await;
        assert_eq!(socket.acknowledged(id).await, seq, "what was sent once stays sent");

        let read = bob.get("/room/garden").await;
        assert_eq!(read.status, 200);
        assert!(read.body.contains("the beans are up"));
        assert!(read.body.contains("This room closed by itself"), "it says what happened");
        bob.ask::<()>("mark_read", &[("room", "garden"), ("seq", "4")]).await.unwrap();
        bob.leave("garden").await;
        let told: Vec<_> = ada.log("garden").await.iter().map(said).collect();
        assert_eq!(told, ["1 ada joined", "2 bob joined", "3 bob: the beans are up", "4 closed", "5 bob left"]);
    }

    async fn who_made_it_opens_it_again_and_its_clock_restarts(app: TestApp) {
        let (_admin, ada, bob) = (app.sign_up("root").await, app.sign_up("ada").await, app.sign_up("bob").await);
        let made = make(&ada, "Garden", "hour").await;
        bob.join("garden").await;
        app.close_idle(later(made, HOUR)).await;
        let mut socket = bob.live().await;
        assert_eq!(bob.ask::<()>("reopen_room", &[("room", "garden")]).await, Err(Refusal::NotAllowed));
        assert!(bob.page("garden").await.closed);
        assert_eq!((ada.page("garden").await.may_open, bob.page("garden").await.may_open), (true, false));

        let reply = ada.post_form("reopen_room", &[("room", "garden"), ("page", "/room/garden")]).await;
        assert_eq!((reply.status, reply.location()), (303, "/room/garden"));
        let opened = last(&ada, "garden").await;
        let Event::Reopened(event) = socket.until(|event| matches!(event, Event::Reopened(_))).await else { unreachable!() };
        assert_eq!((event.seq, event.by, event.at), (Seq(4), Some(By { user: "ada".into(), name: None }), opened));
        assert!(!bob.page("garden").await.closed);
        // As if it had just been made.
        assert_eq!(app.close_idle(later(opened, HOUR - 1)).await, 0);
        socket.say("garden", "good to be back").await;
        let spoken = last(&ada, "garden").await;
        assert_eq!(app.close_idle(later(spoken, HOUR - 1)).await, 0);
        assert_eq!(app.close_idle(later(spoken, HOUR)).await, 1);
        ada.ask::<()>("reopen_room", &[("room", "garden")]).await.unwrap();
        let opened = last(&ada, "garden").await;
        assert_eq!(app.close_idle(later(opened, HOUR - 1)).await, 0);
        assert_eq!(app.close_idle(later(opened, HOUR)).await, 1);
    }

    async fn a_room_is_closed_by_hand_by_its_maker_or_an_administrator(app: TestApp) {
        let (admin, ada, bob) = (app.sign_up("root").await, app.sign_up("ada").await, app.sign_up("bob").await);
        make(&ada, "Garden", "never").await;
        bob.join("garden").await;
        let set = async |who: &Person, action: &str| who.ask::<()>(action, &[("room", "garden")]).await;
        assert_eq!(set(&bob, "close_room").await, Err(Refusal::NotAllowed));
        // Twice is once.
        for _ in 0..2 {
            assert_eq!(set(&ada, "close_room").await, Ok(()));
        }
        assert!(admin.page("garden").await.may_open, "also who is no member");
        for _ in 0..2 {
            assert_eq!(set(&admin, "reopen_room").await, Ok(()));
        }
        assert_eq!(set(&admin, "close_room").await, Ok(()));
        // Having left, its maker is its maker still.
        ada.leave("garden").await;
        assert_eq!(set(&ada, "reopen_room").await, Ok(()));
        let told: Vec<_> = bob.log("garden").await.iter().map(said).collect();
        assert_eq!(told[2..], ["3 closed by ada", "4 reopened by root", "5 closed by root", "6 ada left", "7 reopened by ada"]);
        for action in ["close_room", "reopen_room"] {
            assert_eq!(ada.ask::<()>(action, &[("room", "no-such-room")]).await, Err(Refusal::NoRoom), "{action}");
        }
    }

    async fn a_sweep_closes_as_many_rooms_as_there_are(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.rooms_per_user = 1000).await;
        let ada = app.sign_up("ada").await;
        for n in 0..120 {
            make(&ada, &format!("Room {n}"), "hour").await;
        }
        assert_eq!(app.close_idle(IN_A_CENTURY).await, 120, "more than go into one transaction");
        assert_eq!(ada.rooms().await.iter().filter(|room| room.closed).count(), 120);
    }

    async fn two_sweeps_at_once_close_a_room_once(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let beside = if app.engine == Engine::Postgres { Some(app.beside().await) } else { None };
        let other = beside.as_ref().unwrap_or(&app);
        for round in 0..5 {
            let rooms: Vec<String> = (0..8).map(|n| format!("r-{round}-{n}")).collect();
            for room in &rooms {
                make(&ada, room, "hour").await;
            }
            let (one, two) = tokio::join!(app.close_idle(IN_A_CENTURY), other.close_idle(IN_A_CENTURY));
            assert_eq!(one + two, rooms.len());
            for room in &rooms {
                let told: Vec<_> = ada.log(room).await.iter().map(said).collect();
                assert_eq!(told, ["1 ada joined", "2 closed"], "{room}");
            }
        }
    }

    async fn a_message_at_the_moment_of_the_sweep_is_in_time_or_refused(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let beside = if app.engine == Engine::Postgres { Some(app.beside().await) } else { None };
        let other = beside.as_ref().unwrap_or(&app);
        for n in 0..25 {
            let room = format!("r-{n}");
            let made = make(&ada, &room, "hour").await;
            let nonce = new_id().to_string();
            let fields = [("room", room.as_str()), ("nonce", nonce.as_str()), ("text", "wait")];
            let (_, posted) = tokio::join!(other.close_idle(later(made, HOUR)), ada.ask::<()>("post_message", &fields));
            let told: Vec<_> = ada.log(&room).await.iter().map(said).collect();
            assert_eq!(ada.page(&room).await.closed, posted.is_err());
            match posted {
                Ok(()) => assert_eq!(told, ["1 ada joined", "2 ada: wait"]),
                Err(why) => assert_eq!((why, told), (Refusal::Closed, vec!["1 ada joined".to_owned(), "2 closed".to_owned()])),
            }
        }
    }

    async fn closing_and_opening_at_once_leave_no_gap(app: TestApp) {
        let ada = app.sign_up("ada").await;
        make(&ada, "Garden", "hour").await;
        let busy = (0..40).map(|n| {
            let (app, ada) = (&app, &ada);
            async move {
                match n % 4 {
                    0 => drop(app.close_idle(IN_A_CENTURY).await),
                    1 => drop(ada.post_json("close_room", &[("room", "garden")]).await),
                    2 => drop(ada.post_json("reopen_room", &[("room", "garden")]).await),
                    _ => {
                        let nonce = new_id().to_string();
                        drop(ada.post_json("post_message", &[("room", "garden"), ("nonce", &nonce), ("text", "x")]).await);
                    }
                }
            }
        });
        join_all(busy).await;
        let log = ada.log("garden").await;
        let seqs: Vec<i64> = log.iter().map(|event| event.place().unwrap().1.0).collect();
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
        let mut closed = false;
        for event in &log {
            match event {
                Event::Closed(_) => assert!(!std::mem::replace(&mut closed, true), "closed twice: {log:?}"),
                Event::Reopened(_) => assert!(std::mem::replace(&mut closed, false), "opened twice: {log:?}"),
                Event::Message(_) => assert!(!closed, "a message in a closed room: {log:?}"),
                _ => {}
            }
        }
        assert_eq!(ada.page("garden").await.closed, closed);
    }

    async fn the_database_guards_it_a_second_time(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        make(&ada, "Garden", "hour").await;
        let bob = app.sign_up("bob").await;
        bob.join("garden").await;
        bob.leave("garden").await;
        ada.post("garden", "the beans are up").await;
        app.stop().await;
        let again = "INSERT INTO messages (room_id, seq, author_id, id, text, at, changed_seq)
                     SELECT room_id, seq + 100, author_id, room_id, text, at, seq + 100 FROM messages";
        app.sql(again).await.expect("a member writes into an open room");
        app.sql("DELETE FROM messages WHERE seq > 100").await.unwrap();
        // One that may not be there among those that may.
        let two = |author: &str, seq: u32| {
            format!(
                "INSERT INTO messages (room_id, seq, author_id, id, text, at, changed_seq)
                 SELECT r.id, 300, u.id, r.id, 'x', 1, 300 FROM rooms r, users u WHERE r.slug = 'garden' AND u.username = 'ada'
                 UNION ALL
                 SELECT r.id, {seq}, u.id, u.id, 'x', 1, {seq} FROM rooms r, users u WHERE r.slug = 'garden' AND u.username = '{author}'"
            )
        };
        app.sql(&two("ada", 301)).await.expect("two at once");
        app.sql("DELETE FROM messages WHERE seq > 100").await.unwrap();
        assert!(app.sql(&two("bob", 301)).await.is_err(), "who has left writes no more");
        assert!(app.sql(&two("ada", 1)).await.is_err(), "a join stands there");
        app.sql("UPDATE rooms SET closed_at = 1 WHERE slug = 'garden'").await.unwrap();
        assert!(app.sql(again).await.is_err(), "nobody writes into a closed room");
        for change in ["closed_at = 1", "idle_after = 1"] {
            let closing = app.sql(&format!("UPDATE rooms SET {change} WHERE slug = 'general'")).await;
            assert!(closing.is_err(), "the first rooms stay open: {change}");
        }
    }

    async fn in_a_database_of_before_idleness_counts_from_the_last_message(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        let silent = make(&ada, "Shed", "hour").await;
        make(&ada, "Garden", "hour").await;
        ada.post("garden", "the beans are up").await;
        let said = last(&ada, "garden").await;
        app.stop().await;
        if app.engine == Engine::Postgres {
            app.sql("ALTER TABLE rooms DROP CONSTRAINT rooms_first_stay").await.unwrap();
        }
        app.sql("DROP INDEX rooms_closing; ALTER TABLE rooms DROP COLUMN idle_from; DELETE FROM _sqlx_migrations WHERE version = 2")
            .await
            .unwrap();
        app.start_again().await;
        assert_eq!(app.close_idle(later(silent, HOUR - 1)).await, 0);
        assert_eq!(app.close_idle(later(silent, HOUR)).await, 1, "a room in which nobody has said anything: from its making");
        assert_eq!(app.close_idle(later(said, HOUR - 1)).await, 0);
        assert_eq!(app.close_idle(later(said, HOUR)).await, 1);
    }

    async fn the_choice_is_offered_and_kept_when_the_form_is_refused(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let fresh = ada.get("/new-room").await.body;
        assert!(fresh.contains("Close it by itself"));
        assert_eq!(chosen(&fresh), ["never"]);
        let typed = [("name", " "), ("idle", "week"), ("page", "/new-room")];
        let page = ada.post_form("create_room", &typed).await;
        assert_eq!(page.status, 422);
        assert_eq!(chosen(&page.body), ["week"]);
    }

    async fn a_choice_that_there_is_not_is_refused_beside_it(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for bad in ["fortnight", "3600000000", "HOUR"] {
            let answer = ada.ask::<()>("create_room", &[("name", "Garden"), ("idle", bad)]).await;
            assert_eq!(answer, Err(Refusal::BadForm { field: Field::Idle }), "{bad:?}");
        }
        let page = ada.post_form("create_room", &[("name", "Garden"), ("idle", "fortnight"), ("page", "/new-room")]).await;
        assert_eq!(page.status, 422);
        assert!(page.body.contains("an hour, a day, a week or a month without a message, or never"), "it says what there is");
        assert!(page.body.contains("value=\"Garden\""), "the rest is kept");
        assert_eq!(ada.rooms().await.len(), 3);
    }

    async fn the_servers_setting_holds_where_nobody_chooses(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.room_idle = Idle::Day).await;
        let ada = app.sign_up("ada").await;
        assert_eq!(chosen(&ada.get("/new-room").await.body), ["day"]);
        ada.create_room("Garden").await;
        assert_eq!(ada.page("garden").await.idle, Idle::Day);
        make(&ada, "Shed", "never").await;
        assert_eq!(ada.page("shed").await.idle, Idle::Never);
    }
}

/// On PostgreSQL another node may have the room locked while this one looks: what counts is what it finds when it has the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_waited_for_another_node_decides_on_what_that_one_left() {
    let app = TestApp::start(Engine::Postgres).await;
    let ada = app.sign_up("ada").await;
    let made = make(&ada, "Garden", "hour").await;
    let mut node = PgConnection::connect(app.database_url().unwrap()).await.unwrap();
    let mut watching = PgConnection::connect(app.database_url().unwrap()).await.unwrap();
    // As a message does.
    node.execute("BEGIN; UPDATE rooms SET idle_from = idle_from + 1 WHERE slug = 'garden'").await.unwrap();
    let sweep = app.close_idle(later(made, HOUR));
    let commit = async {
        let waits = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE rooms SET last_seq%'";
        let mut waiting = async || watching.fetch_one(waits).await.unwrap().get::<i64, _>(0) > 0;
        within(PATIENCE, "the sweep waits", async { while !waiting().await {} }).await;
        node.execute("COMMIT").await.unwrap();
    };
    let (closed, ()) = tokio::join!(sweep, commit);
    assert_eq!(closed, 0);
    assert!(!ada.page("garden").await.closed);
    assert_eq!(app.close_idle(later(made, HOUR + 1)).await, 1);
}

/// Makes a room that closes after `idle`; when that was.
async fn make(person: &Person, name: &str, idle: &str) -> Micros {
    let reply = person.post_json("create_room", &[("name", name), ("idle", idle)]).await;
    assert_eq!(reply.status, 200, "{name} cannot be created: {}", reply.body);
    let slug = reply.location().strip_prefix("/room/").expect("a new room is where creating it leads");
    last(person, slug).await
}

/// When the last event of a room's log was.
async fn last(person: &Person, room: &str) -> Micros {
    match person.log(room).await.last().expect("a room has a first member") {
        Event::Message(message) => message.at,
        Event::Joined(change) | Event::Left(change) => change.at,
        Event::Closed(closure) | Event::Reopened(closure) => closure.at,
        other => panic!("{other:?} is no event of the log"),
    }
}

fn later(moment: Micros, micros: i64) -> Micros {
    Micros(moment.0 + micros)
}

/// The choices of the form for a new room that are chosen.
fn chosen(page: &str) -> Vec<&str> {
    let form = page.split("<select").nth(1).and_then(|rest| rest.split("</select>").next()).expect("the form has a choice");
    let options = form.split("<option").skip(1).filter_map(|option| option.split('>').next());
    options
        .filter(|option| option.contains(" selected"))
        .map(|option| option.split("value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a choice has a value"))
        .collect()
}

/// An event of the log in a few words.
fn said(event: &Event) -> String {
    let who = |by: &Option<By>| by.as_ref().map(|by| format!(" by {}", by.user)).unwrap_or_default();
    match event {
        Event::Message(message) => format!("{} {}: {}", message.seq, message.by.user, message.text),
        Event::Joined(joined) => format!("{} {} joined", joined.seq, joined.by.user),
        Event::Left(left) => format!("{} {} left", left.seq, left.by.user),
        Event::Closed(closed) => format!("{} closed{}", closed.seq, who(&closed.by)),
        Event::Reopened(opened) => format!("{} reopened{}", opened.seq, who(&opened.by)),
        other => panic!("{other:?} is no event of the log"),
    }
}
