//! The wire types: what they accept, and that they say the same after a round trip.

use proptest::prelude::*;
use serde_json::{Value, json};
use snug::protocol::{
    Closure, Command, Event, Field, Idle, Membership, Message, Micros, Person, Presence, Refusal, RoomState, SLUG_MAX, Seq, Slug,
};
use uuid::Uuid;

fn a_slug() -> impl Strategy<Value = Slug> {
    "[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,3}".prop_map(|text| Slug::new(text).expect("of the documented form"))
}

fn an_id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn a_seq() -> impl Strategy<Value = Seq> {
    any::<i64>().prop_map(Seq)
}

fn a_person() -> impl Strategy<Value = Person> {
    (any::<String>(), any::<Option<String>>()).prop_map(|(user, name)| Person { user, name })
}

fn a_field() -> impl Strategy<Value = Field> {
    prop::sample::select(vec![
        Field::Email,
        Field::Username,
        Field::Password,
        Field::CurrentPassword,
        Field::Name,
        Field::Topic,
        Field::Idle,
        Field::Text,
    ])
}

fn a_refusal() -> impl Strategy<Value = Refusal> {
    use Refusal as R;
    prop_oneof![
        prop::sample::select(vec![
            R::BadRequest,
            R::LogIn,
            R::WrongPassword,
            R::WrongCurrentPassword,
            R::CrossSite,
            R::CommonPassword,
            R::TakenUsername,
            R::TakenEmail,
            R::NoRoom,
            R::NotMember,
            R::NotAllowed,
            R::Closed,
            R::Conflict,
            R::TooMany,
            R::TooLarge,
            R::Busy,
            R::Unavailable,
            R::Full,
            R::Internal,
            R::Unknown,
        ]),
        a_field().prop_map(|field| R::Empty { field }),
        (a_field(), any::<u32>()).prop_map(|(field, max)| R::TooLong { field, max }),
        (a_field(), any::<u32>()).prop_map(|(field, min)| R::TooShort { field, min }),
        a_field().prop_map(|field| R::BadForm { field }),
        any::<u32>().prop_map(|retry_after_ms| R::TooFast { retry_after_ms }),
    ]
}

fn a_command() -> impl Strategy<Value = Command> {
    let rooms = prop::collection::btree_map(a_slug(), a_seq(), 0..4);
    prop_oneof![
        (rooms, prop::option::of(an_id()), prop::option::of(a_slug())).prop_map(|(rooms, epoch, look)| Command::Hello {
            rooms,
            epoch,
            look
        }),
        (a_slug(), an_id(), any::<String>()).prop_map(|(room, id, text)| Command::Send { room, id, text }),
        (a_slug(), a_seq()).prop_map(|(room, seq)| Command::Read { room, seq }),
        a_slug().prop_map(|room| Command::Join { room }),
        a_slug().prop_map(|room| Command::Leave { room }),
        prop::option::of(a_slug()).prop_map(|room| Command::Look { room }),
        Just(Command::Ping),
    ]
}

fn a_membership() -> impl Strategy<Value = Membership> {
    (a_slug(), a_seq(), a_person(), any::<i64>()).prop_map(|(room, seq, by, at)| Membership { room, seq, by, at: Micros(at) })
}

fn a_closure() -> impl Strategy<Value = Closure> {
    (a_slug(), a_seq(), prop::option::of(a_person()), any::<bool>(), any::<i64>())
        .prop_map(|(room, seq, by, operator, at)| Closure { room, seq, by, operator, at: Micros(at) })
}

fn a_room_state() -> impl Strategy<Value = RoomState> {
    (a_slug(), any::<String>(), a_seq(), a_seq(), any::<u32>(), any::<bool>())
        .prop_map(|(room, name, seq, read, unread, closed)| RoomState { room, name, seq, read, unread, closed })
}

fn an_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (any::<String>(), an_id(), any::<u32>(), any::<String>(), prop::collection::vec(a_room_state(), 0..4))
            .prop_map(|(user, epoch, version, build, rooms)| Event::Welcome { user, epoch, version, build, rooms }),
        (a_slug(), a_seq(), an_id(), a_person(), any::<String>(), any::<i64>())
            .prop_map(|(room, seq, id, by, text, at)| Event::Message(Message { room, seq, id, by, text, at: Micros(at) })),
        a_membership().prop_map(Event::Joined),
        a_membership().prop_map(Event::Left),
        a_closure().prop_map(Event::Closed),
        a_closure().prop_map(Event::Reopened),
        (a_slug(), an_id(), a_seq()).prop_map(|(room, id, seq)| Event::Sent { room, id, seq }),
        (a_slug(), a_seq(), any::<u32>()).prop_map(|(room, seq, unread)| Event::Read { room, seq, unread }),
        (a_slug(), any::<u32>(), prop::collection::vec(a_person(), 0..4))
            .prop_map(|(room, count, users)| Event::Presence(Presence { room, count, users })),
        (a_slug(), a_seq(), a_seq()).prop_map(|(room, from, to)| Event::Limited { room, from, to }),
        (prop::option::of(an_id()), prop::option::of(a_slug()), a_refusal(), any::<String>())
            .prop_map(|(id, room, why, message)| Event::Error { id, room, why, message }),
        Just(Event::Pong),
        Just(Event::Unknown),
    ]
}

proptest! {
    #[test]
    fn a_slug_is_of_the_documented_form(text in prop_oneof!["[a-z0-9-]{0,60}", "[a-zA-Z0-9_ é-]{0,12}", any::<String>()]) {
        let parts = text.split('-');
        let documented = (1..=SLUG_MAX).contains(&text.len())
            && parts.clone().all(|part| !part.is_empty() && part.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9')));
        prop_assert_eq!(Slug::new(text.clone()).is_ok(), documented);
        prop_assert_eq!(serde_json::from_value::<Slug>(json!(text)).is_ok(), documented, "from JSON it is checked as well");
    }

    #[test]
    fn a_command_is_the_same_after_a_round_trip(command in a_command()) {
        let text = serde_json::to_string(&command).unwrap();
        prop_assert!(!text.contains('\n'), "a command is one line");
        prop_assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
    }

    #[test]
    fn an_event_is_the_same_after_a_round_trip(event in an_event()) {
        let text = serde_json::to_string(&event).unwrap();
        prop_assert!(!text.contains('\n'), "an event is one line");
        prop_assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }

    #[test]
    fn a_refusal_is_the_same_after_a_round_trip(refusal in a_refusal()) {
        let text = serde_json::to_string(&refusal).unwrap();
        prop_assert_eq!(serde_json::from_str::<Refusal>(&text).unwrap(), refusal.clone());
        prop_assert!((400..600).contains(&refusal.status()));
        prop_assert!(!refusal.to_string().is_empty());
    }

    #[test]
    fn fields_of_a_later_version_are_ignored(event in an_event(), command in a_command(), name in "x_[a-z]{1,8}") {
        let mut later = serde_json::to_value(&event).unwrap();
        later[&name] = json!({ "deep": [1, null, "text"] });
        prop_assert_eq!(serde_json::from_value::<Event>(later).unwrap(), event);
        let mut later = serde_json::to_value(&command).unwrap();
        later[&name] = json!([true]);
        prop_assert_eq!(serde_json::from_value::<Command>(later).unwrap(), command);
    }

    #[test]
    fn events_of_a_later_version_are_ignored(kind in "later_[a-z]{1,8}", event in an_event()) {
        let mut later = serde_json::to_value(&event).unwrap();
        later["type"] = Value::String(kind);
        prop_assert_eq!(serde_json::from_value::<Event>(later).unwrap(), Event::Unknown);
    }

    #[test]
    fn refusals_of_a_later_version_are_known_as_such(code in "later_[a-z]{1,8}", message in any::<String>()) {
        let later = json!({ "type": "error", "code": code, "message": message, "max": 3 });
        let event = serde_json::from_value::<Event>(later).unwrap();
        prop_assert_eq!(event, Event::Error { id: None, room: None, why: Refusal::Unknown, message });
    }

    #[test]
    fn whatever_comes_is_refused_without_a_panic(text in any::<String>()) {
        let _ = serde_json::from_str::<Event>(&text);
        let _ = serde_json::from_str::<Command>(&text);
    }
}

#[test]
fn a_message_on_the_wire_looks_as_documented() {
    let message = Event::Message(Message {
        room: Slug::new("general").unwrap(),
        seq: Seq(7),
        id: Uuid::nil(),
        by: Person { user: "ada".into(), name: None },
        text: "hi".into(),
        at: Micros(1),
    });
    let wire = json!({
        "type": "message", "room": "general", "seq": 7, "id": "00000000-0000-0000-0000-000000000000", "user": "ada", "text": "hi", "at": 1,
    });
    assert_eq!(serde_json::to_value(message).unwrap(), wire);
}

#[test]
fn a_closing_on_the_wire_names_who_did_it_if_anyone_did() {
    let by = Person { user: "ada".into(), name: None };
    let closure = |by| Closure { room: Slug::new("tea").unwrap(), seq: Seq(7), by, operator: false, at: Micros(1) };
    let wire = json!({ "type": "closed", "room": "tea", "seq": 7, "at": 1 });
    assert_eq!(serde_json::to_value(Event::Closed(closure(None))).unwrap(), wire);
    let operators = Closure { operator: true, ..closure(None) };
    let wire = json!({ "type": "closed", "room": "tea", "seq": 7, "operator": true, "at": 1 });
    assert_eq!(serde_json::to_value(Event::Closed(operators)).unwrap(), wire);
    let wire = json!({ "type": "reopened", "room": "tea", "seq": 7, "user": "ada", "at": 1 });
    assert_eq!(serde_json::to_value(Event::Reopened(closure(Some(by)))).unwrap(), wire);
}

#[test]
fn a_choice_of_when_a_room_closes_is_written_in_one_way() {
    for idle in Idle::ALL {
        assert_eq!(idle.to_string().parse(), Ok(idle));
        assert_eq!(serde_json::to_value(idle).unwrap(), json!(idle.as_str()));
        assert_eq!(Idle::lasting(idle.micros()), Ok(idle));
    }
    assert!("fortnight".parse::<Idle>().is_err());
    assert!(Idle::lasting(Some(5)).is_err());
}
