//! The server is killed (`SIGKILL`) again and again.

use rand::Rng;

use crate::load::Load;
use crate::place::Place;
use crate::rounds;
use crate::support::{Engine, on_both};

/// It is killed before so many messages of a round are acknowledged, at a number that chance gives.
const ENOUGH: usize = 2_000;

on_both! {
    async fn what_was_acknowledged_outlives_a_kill(engine: Engine) {
        let place = Place::new(engine).await;
        let mut server = place.start().await;
        let mut load = Load::new(server.address()).await;
        let mut chance = load.chance();
        let server = load
            .during(async |tally| {
                for round in 1..=rounds(5) {
                    tally.grows_by(chance.random_range(1..ENOUGH)).await;
                    tokio::task::block_in_place(|| server.kill());
                    eprintln!("{engine:?}: kill {round}, {} acknowledged so far", tally.acknowledged());
                    place.check().await;
                    server = place.start().await;
                    tally.moved(server.address());
                }
                server
            })
            .await;
        load.end(server, place).await;
    }
}
