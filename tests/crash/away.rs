//! PostgreSQL is stopped, as by an operator and as by a crash, and started again.

use std::time::Duration;

use snug::protocol::Refusal;

use crate::load::Load;
use crate::place::Place;
use crate::rounds;
use crate::support::{Bot, Postgres, Shutdown, eventually, new_id, within};

/// How long anything may take to be refused once it is known that the database is away: less than the 5 s for which the server waits
/// until it is.
const SOON: Duration = Duration::from_secs(4);

/// Lines that may be in the log of one time that it was away.
const LINES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_and_comes_back_costs_nothing_that_was_acknowledged() {
    let postgres = Postgres::own();
    let place = Place::at(Some(postgres.database().await));
    let server = place.start().await;
    let mut load = Load::new(server.address()).await;
    let (visitor, bot) = (load.someone(), Bot::at(server.address()).register("bot").await);
    let ready = async || visitor.get("/readyz").await.status;
    load.during(async |tally| {
        for round in 0..rounds(2) {
            tally.grows_by(300).await;
            let before = server.said().lines().count();
            let how = if round % 2 == 0 { Shutdown::Immediate } else { Shutdown::Fast };
            tokio::task::block_in_place(|| postgres.stop(how));

            eventually("readiness tells", async || (ready().await == 503).then_some(())).await;
            // Who asked before that was known waited for it, in case that it was started again at once.
            let known = "what other processes have left word of cannot be read";
            eventually("it is known", async || server.said().lines().skip(before).any(|line| line.contains(known)).then_some(()))
                .await;
            assert_eq!(visitor.get("/healthz").await.status, 200, "the process itself is well");
            let page = within(SOON, "a page is refused", visitor.get("/room/general")).await;
            assert_eq!((page.status, page.header("retry-after")), (503, "1"), "{}", page.body);
            assert!(page.body.contains("Back in a moment.") && page.body.contains("cannot reach its database"), "{}", page.body);
            let message = serde_json::json!({ "id": new_id(), "text": "is anyone there?" });
            let reply = within(SOON, "a program is refused", bot.post("/api/rooms/general/messages", message)).await;
            assert_eq!((reply.status, reply.problem().as_str(), reply.header("retry-after")), (503, "unavailable", "1"));
            let _until_now = tally.refusals();
            eventually("sends are refused for now", async || tally.refusals().contains(&Refusal::Unavailable).then_some(()))
                .await;

            tokio::task::block_in_place(|| postgres.start_again());
            eventually("readiness tells that it is back", async || (ready().await == 200).then_some(())).await;
            tally.grows_by(300).await;
            let lines = eventually("the log says so", async || {
                let lines: Vec<_> = server.said().lines().skip(before).map(str::to_owned).collect();
                lines.last().is_some_and(|line| line.contains("the database answers again")).then_some(lines)
            })
            .await;
            eprintln!("{how:?}: the log of it\n{}", lines.join("\n"));
            assert!(lines.len() <= LINES, "{} lines:\n{}", lines.len(), lines.join("\n"));
        }
    })
    .await;
    load.end(server, place).await;
}
