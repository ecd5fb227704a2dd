//! What is read and what is heard agree: a page as of `a`, and the events from there to `b`, are the page as of `b`.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use snug::protocol::{Event, RoomPage};

use crate::support::{Engine, Person, Socket, TestApp};

/// What happens in a room.
#[derive(Clone, Debug)]
enum Step {
    Send(usize, String),
    Join(usize),
    Leave(usize),
    Close,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..3_usize;
    let step = prop_oneof![
        12 => (who.clone(), "[a-zé🌱 ]{0,20}x").prop_map(|(who, text)| Step::Send(who, text)),
        2 => who.clone().prop_map(Step::Join),
        2 => who.prop_map(Step::Leave),
        1 => Just(Step::Close),
        // More often, so that the room is open most of the time.
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 0..60)
}

/// `maker` made the room.
async fn perform(maker: &Person, people: &[Person], steps: &[Step]) {
    for step in steps {
        // Refusals (a sender who has left, a room that is closed) are part of it.
        match step {
            Step::Send(who, text) => {
                let nonce = crate::support::new_id().to_string();
                let fields = [("room", "garden"), ("nonce", nonce.as_str()), ("text", text)];
                people[*who].post_json("post_message", &fields).await;
            }
            Step::Join(who) => drop(people[*who].post_json("join_room", &[("room", "garden")]).await),
            Step::Leave(who) => drop(people[*who].post_json("leave_room", &[("room", "garden")]).await),
            Step::Close => drop(maker.post_json("close_room", &[("room", "garden")]).await),
            Step::Reopen => drop(maker.post_json("reopen_room", &[("room", "garden")]).await),
        }
    }
}

/// The events of the log that `socket` has until `page` was read.
async fn heard_until(socket: &mut Socket, before: &RoomPage, page: &RoomPage) -> Vec<Event> {
    if before.as_of == page.as_of {
        return Vec::new();
    }
    let events = socket.collect_until(|event| event.place().is_some_and(|(_, seq)| seq == page.as_of)).await;
    events.into_iter().filter(|event| event.place().is_some()).collect()
}

/// Joins, closings and the like on a page, at most: earlier ones are left out.
const NOTES: usize = 50;

fn keep_latest_notes(events: &mut Vec<Event>) {
    let is_note = |event: &Event| !matches!(event, Event::Message(_));
    let mut earlier = events.iter().filter(|event| is_note(event)).count().saturating_sub(NOTES);
    events.retain(|event| {
        let left_out = earlier > 0 && is_note(event);
        earlier -= usize::from(left_out);
        !left_out
    });
}

fn holds_on(engine: Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (app, watcher, people) = runtime.block_on(async {
        let app = TestApp::start(engine).await;
        let watcher = app.sign_up("zoe").await;
        watcher.create_room("Garden").await;
        let mut people = Vec::new();
        for user in ["ada", "bob", "cyd"] {
            people.push(app.sign_up(user).await);
            people[people.len() - 1].join("garden").await;
        }
        (app, watcher, people)
    });
    let mut runner = TestRunner::new(Config { cases: 24, max_shrink_iters: 64, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(steps(), steps()), |(earlier, later)| {
        runtime.block_on(async {
            perform(&watcher, &people, &earlier).await;
            let before = watcher.page("garden").await;
            let mut socket = watcher.socket().await;
            // What happens between the reading and the hello is replayed.
            let (now, then) = later.split_at(later.len() / 2);
            perform(&watcher, &people, now).await;
            socket.resume(before.epoch, &[("garden", before.as_of)]).await;
            perform(&watcher, &people, then).await;
            let after = watcher.page("garden").await;
            let mut told = before.events.to_vec();
            told.extend(heard_until(&mut socket, &before, &after).await);
            keep_latest_notes(&mut told);
            // The page at `a` may begin later than the one at `b`, which is a page long at most.
            let common = told.len().min(after.events.len());
            prop_assert_eq!(&told[told.len() - common..], &after.events[after.events.len() - common..]);
            prop_assert!(common == after.events.len() || before.older.is_none(), "{} of {}", common, after.events.len());
            let last = after.events.last().and_then(Event::place).map(|(_, seq)| seq);
            prop_assert_eq!(last, Some(after.as_of));
            Ok(())
        })
    });
    drop(app);
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn a_page_and_the_events_after_it_are_the_later_page_on_sqlite() {
    holds_on(Engine::Sqlite);
}

#[test]
fn a_page_and_the_events_after_it_are_the_later_page_on_postgres() {
    holds_on(Engine::Postgres);
}
