//! The server is stopped (`SIGSTOP`) for longer than every patience that it has, and goes on (`SIGCONT`) as if nothing had been.

use std::time::Duration;

use snug::protocol::Event;
use tokio::time::timeout;

use crate::load::Load;
use crate::place::Place;
use crate::support::{Bot, Engine, PATIENCE, on_both, within};
use crate::{given, rounds};

/// The last message.
const LAST: &str = "and the one who says nothing?";

/// Seconds for which nothing happens then; each patience below is shorter.
fn seconds() -> u64 {
    given("SNUG_DEV_CHAOS_STOP").unwrap_or(5)
}

on_both! {
    async fn who_was_there_is_there_still_after_a_server_was_stopped_for_long(engine: Engine) {
        let place = Place::new(engine).await.with("idle-timeout", 3).with("presence-grace", 1);
        let place = ["header-timeout", "body-timeout", "write-timeout"].into_iter().fold(place, |place, patience| place.with(patience, 2));
        let server = place.start().await;
        let mut load = Load::new(server.address()).await;
        // It says nothing by itself: the server asks whether it is there.
        let bot = Bot::at(server.address()).register("bot").await;
        let mut socket = bot.socket("/ws?room=general").await.unwrap();
        let listening = tokio::spawn(async move {
            loop {
                // For longer than anyone waits, where the stop is long.
                match timeout(Duration::from_secs(1), socket.try_next()).await {
                    Ok(Ok(Event::Message(message))) if message.text == LAST => return,
                    Ok(Ok(_)) | Err(_) => {}
                    Ok(Err(closed)) => panic!("the server ended the line of who says nothing: {closed:?}"),
                }
            }
        });
        let lost = load
            .during(async |tally| {
                for _ in 0..rounds(2).min(5) {
                    tally.grows_by(200).await;
                    server.stand_still();
                    tally.rests_for(Duration::from_secs(seconds())).await;
                    server.go_on();
                    tally.grows_by(500).await;
                }
                assert_eq!(tally.refusals(), [], "nothing was refused for it");
                tally.lost()
            })
            .await;
        assert_eq!(lost, 0, "the server ended the line of nobody");
        load.settle().await;
        bot.say("general", LAST).await;
        within(PATIENCE, "who says nothing hears it", listening).await.unwrap();
        load.end(server, place).await;
    }
}
