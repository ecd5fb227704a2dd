//! The bad network as a program of its own, for the browser's tests: `bad-network SERVER SEED`, such as `127.0.0.1:3000 7`.
//!
//! It prints where it listens. To each line that it reads (`bad`, `good`, or none of both) it answers with how often it has done
//! something to a connection, and what. It ends with its input.

#[allow(dead_code, reason = "the tests in Rust use more of it")]
#[path = "../../support/proxy.rs"]
mod proxy;

use std::error::Error;

use proxy::Proxy;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(server), Some(seed), None) = (args.next(), args.next(), args.next()) else {
        return Err("it takes the address of a server and a seed".into());
    };
    let proxy = Proxy::to(server.parse()?, seed.parse()?).await?;
    println!("{}", proxy.address());
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.as_str() {
            "bad" => proxy.be_bad(true),
            "good" => proxy.be_bad(false),
            _ => {}
        }
        println!("{} {}", proxy.faults().count(), proxy.faults());
    }
    Ok(())
}
