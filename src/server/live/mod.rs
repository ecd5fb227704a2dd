//! Who is told: the hub (who listens to which room), a connection (one socket), presence (who is here).
//!
//! The database is the truth. The hub only hands on what is new, in the order of its commit; a connection that finds a hole or
//! has fallen behind reads the log. It knows nothing of SQL, HTTP or who may do what: a connection hears a room
//! because its person is a member, which the log itself says.

mod connection;
mod hub;
mod presence;
pub mod socket;
mod tail;
pub mod wire;

pub use connection::{Closing, Connection, Deliveries};
pub use hub::{Hub, News};
