//! Who is here: people with a live connection to a room. A person counts once, however many connections they have, and is
//! gone some seconds after the last one went, so that a reload is no coming and going.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::connection::{Connection, Deliveries};
use super::hub::{Hub, lock};
use crate::protocol::{Event, Person, Presence, Slug};
use crate::server::store::{RoomId, UserId};

/// Up to so many people, all are named and changes are told at once; beyond, some are, once a [`PAUSE`].
const NAMED: usize = 50;
/// How many are named where not all are.
const SOME: usize = 8;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Guest {
    person: Person,
    connections: u32,
}

/// The people in a room.
#[derive(Debug, Default)]
pub(super) struct Here {
    guests: BTreeMap<UserId, Guest>,
    /// The room's slug, once someone looks.
    slug: Option<Slug>,
    /// A telling is on its way.
    telling: bool,
    /// There was a change since the last telling.
    changed: bool,
}

impl Here {
    pub(super) fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }

    pub(super) fn came(&mut self, user: UserId, person: &Person) {
        let guest = self.guests.entry(user).or_insert_with(|| Guest { person: person.clone(), connections: 0 });
        self.changed |= guest.connections == 0;
        guest.connections += 1;
    }

    /// One connection of `user` went; whether it was the last.
    pub(super) fn went(&mut self, user: UserId) -> bool {
        let Some(guest) = self.guests.get_mut(&user) else { return false };
        guest.connections = guest.connections.saturating_sub(1);
        guest.connections == 0
    }

    /// The person ceased to be a member.
    pub(super) fn left(&mut self, user: UserId) {
        self.changed |= self.guests.remove(&user).is_some();
    }

    /// The grace is over: gone, unless they came back.
    fn gone(&mut self, user: UserId) {
        if self.guests.get(&user).is_some_and(|guest| guest.connections == 0) {
            self.left(user);
        }
    }

    pub(super) fn presence(&self, slug: &Slug) -> Presence {
        let named = if self.guests.len() > NAMED { SOME } else { NAMED };
        let mut users: Vec<_> = self.guests.values().take(named).map(|guest| guest.person.clone()).collect();
        users.sort();
        Presence { room: slug.clone(), count: u32::try_from(self.guests.len()).unwrap_or(u32::MAX), users }
    }
}

impl Hub {
    /// The connection has the room on its screen, and no other; it is told who is there, now and as it changes.
    pub(super) fn look(&self, connection: &Arc<Connection>, room: Option<(RoomId, &Slug)>) {
        let before = std::mem::replace(&mut *lock(&connection.look), room.map(|(id, _)| id));
        if let Some(before) = before {
            self.with_known(before, |found| found.lookers.retain(|other| !Arc::ptr_eq(other, connection)));
        }
        let Some((id, slug)) = room else { return };
        let mut deliveries = Deliveries::default();
        self.with_known(id, |found| {
            if found.listeners.iter().any(|listener| Arc::ptr_eq(listener, connection)) {
                found.lookers.push(Arc::clone(connection));
                found.here.slug = Some(slug.clone());
                deliveries.tell(connection, &Event::Presence(found.here.presence(slug)));
            }
        });
        deliveries.send();
    }

    /// Tells those who look, if there is something to tell: now where few are here, else at the end of a pause.
    pub(super) fn presence_changed(&self, room: RoomId) {
        let start = self.with_known(room, |found| {
            let here = &mut found.here;
            let start = here.changed && !here.telling && !found.lookers.is_empty();
            here.telling |= start;
            start.then_some(here.guests.len() > NAMED)
        });
        let Some(Some(many)) = start else { return };
        let hub = self.clone();
        tokio::spawn(async move {
            if many {
                sleep(PAUSE).await;
            }
            let mut deliveries = Deliveries::default();
            hub.with_known(room, |found| {
                found.here.telling = false;
                found.here.changed = false;
                let Some(slug) = &found.here.slug else { return };
                let event = Event::Presence(found.here.presence(slug));
                found.lookers.iter().for_each(|looker| deliveries.tell(looker, &event));
            });
            deliveries.send();
        });
    }

    /// `user` has no connection to the room any more; they are gone unless one comes within the grace.
    pub(super) fn gone_after_grace(&self, room: RoomId, user: UserId) {
        let hub = self.clone();
        tokio::spawn(async move {
            sleep(hub.0.grace).await;
            hub.with_known(room, |found| found.here.gone(user));
            hub.presence_changed(room);
            hub.tidy(room);
        });
    }
}
