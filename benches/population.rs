//! People in their thousands, each with an account, a session and three rooms.
//!
//! Only the first of them signs up at the server's door: to hash a password for each of the others would take minutes. The rest are
//! written by the server's own storage code into its database while it is down, with the hash of that first one's password, so
//! each of them can log in with it.

use std::collections::HashMap;
use std::sync::Arc;

use snug::protocol::{Seq, Slug};
use snug::server::chat::now;
use snug::server::store::accounts::{self, NewAccount, NewLogin};
use snug::server::store::rooms::{self, Turn};
use snug::server::store::{AccountId, LoginId, Store, UserId};
use time::OffsetDateTime;
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use uuid::Uuid;

use crate::wire::Http;
use crate::world::{Ending, PASSWORD, Place, World};

/// People in a room beside `general`, about.
const IN_A_ROOM: usize = 100;

/// The people of a world.
pub struct Population {
    /// The session cookie of who made the rooms and is in all of them.
    pub host: String,
    pub people: Vec<Inhabitant>,
    /// Every room.
    pub rooms: Vec<Slug>,
}

pub struct Inhabitant {
    pub email: String,
    /// The session cookie.
    pub cookie: String,
    pub rooms: [Slug; 3],
}

/// Settles `count` people in a new world: everyone is in `general` and in two rooms of some [`IN_A_ROOM`], one of a row and one of a
/// column, so that no two rooms have the same people. Its server is started anew.
pub async fn settle(world: World, count: usize) -> (World, Population) {
    let host = world.people(1).await.remove(0);
    let rows = count.div_ceil(IN_A_ROOM);
    let room = |kind: &str, number: usize| Slug::new(format!("{kind}-{number}")).expect("a slug");
    let mut rooms = vec![Slug::new("general").expect("a slug")];
    let mut http = Http::connect(world.address()).await;
    for number in 0..rows {
        for kind in ["row", "column"] {
            let body = format!("name={kind}+{number}");
            let reply = http.post("/actions/create_room", &format!("Cookie: {host}\r\n"), &body).await;
            assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
            rooms.push(room(kind, number));
        }
    }
    drop(http);
    let place = world.end(Ending::Asked).await;
    eprintln!("  writing {count} people into the database …");
    let of = |n: usize| [rooms[0].clone(), room("row", n / IN_A_ROOM), room("column", n % rows)];
    let people = write(&place, (0..count).map(of).collect()).await;
    (place.start().await, Population { host, people, rooms })
}

/// Writes people who are in these rooms.
async fn write(place: &Place, wanted: Vec<[Slug; 3]>) -> Vec<Inhabitant> {
    let store = Store::open(None, place.folder()).await.expect("the server's database can be opened");
    let first = store.credentials("person0@example.org").await.expect("the database answers").expect("the host is there");
    let hash = Arc::new(first.password_hash);
    let mut people = Vec::with_capacity(wanted.len());
    let mut written = Vec::with_capacity(wanted.len());
    for (chunk, rooms) in wanted.chunks(1000).enumerate() {
        let mut tx = store.write().await.expect("nobody else writes");
        let conn = &mut tx.conn();
        for (index, rooms) in rooms.iter().enumerate() {
            let username = format!("inhabitant{}", chunk * 1000 + index);
            let email = format!("{username}@example.org");
            let account = NewAccount {
                account_id: AccountId::fresh(),
                user_id: UserId::fresh(),
                email_key: email.clone(),
                email: email.clone(),
                username_key: unicode_security::skeleton(&username).collect(),
                username,
                password_hash: hash.to_string(),
                admin: false,
                at: now(),
            };
            accounts::add(conn, &account).await.expect("nobody has that name");
            for room in rooms {
                let place = rooms::take_place(conn, room, now()).await.expect("the database answers").expect("the room is there");
                let joined = rooms::turn(conn, place.id, account.user_id, "member", Turn::Joined, Seq(place.seq), now());
                joined.await.expect("they were no member");
            }
            written.push((account.account_id, email, rooms.clone()));
        }
        tx.commit().await.expect("it can be kept");
    }
    let sessions = store.sessions();
    for (account, email, rooms) in written {
        let login = NewLogin {
            id: LoginId(Uuid::new_v4()),
            account,
            address: "127.0.0.1",
            agent: "",
            at: now(),
            until: None,
            checked: None,
        };
        assert!(store.add_login(&login).await.expect("it can be kept"));
        // As `server::web::session` has it.
        let data = HashMap::from([("login".to_owned(), login.id.0.to_string().into()), ("touched".to_owned(), now().0.into())]);
        let expiry_date = OffsetDateTime::now_utc() + time::Duration::days(30);
        let mut session = Record { id: Id::default(), data, expiry_date };
        sessions.create(&mut session).await.expect("it can be kept");
        people.push(Inhabitant { email, cookie: format!("snug_session={}", session.id), rooms });
    }
    store.close().await;
    people
}

impl Inhabitant {
    /// What a login form says.
    #[must_use]
    pub fn log_in(&self) -> String {
        format!("name={}&password={}", self.email.replace('@', "%40"), PASSWORD.replace(' ', "+"))
    }
}
