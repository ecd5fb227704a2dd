//! Finding a room: the list beside every page, the page of all rooms, and what a search finds.

use snug::protocol::{FoundRooms, Refusal};

use crate::support::{Person, TestApp, on_both};

/// What `person` finds, on one page.
async fn found(person: &Person, query: &str, page: u32) -> FoundRooms {
    person.ask("find_rooms", &[("query", query), ("number", &page.to_string())]).await.expect("whoever is logged in may look")
}

/// The names of what `person` finds, and whether they are in it.
async fn names(person: &Person, query: &str) -> Vec<(String, bool)> {
    found(person, query, 1).await.rooms.into_iter().map(|room| (room.name, room.member)).collect()
}

on_both! {
    async fn the_list_has_ones_own_rooms_and_the_most_active_of_the_others(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        for n in 0..12 {
            bob.create_room(&format!("Room {n:02}")).await;
        }
        bob.post("room-00", "still going").await;
        ada.join("room-01").await;
        let names = |member: bool| {
            let ada = &ada;
            async move {
                let rooms = ada.rooms().await.into_iter().filter(|room| room.member == member);
                rooms.map(|room| room.name).collect::<Vec<_>>()
            }
        };
        assert_eq!(names(true).await, ["general", "Room 01"]);
        assert_eq!(
            names(false).await,
            ["Room 00", "Room 05", "Room 06", "Room 07", "Room 08", "Room 09", "Room 10", "Room 11"],
            "what is active at the time, by name",
        );
    }

    async fn every_room_that_one_could_join_is_on_one_of_the_pages(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        for n in 0..63 {
            bob.create_room(&format!("Room {n:02}")).await;
        }
        ada.join("room-33").await;
        let mut all = Vec::new();
        for page in 1..=3 {
            let found = found(&ada, "", page).await;
            assert_eq!((found.page, found.pages, found.total), (page, 3, 64));
            assert!(found.rooms.iter().all(|room| !room.member && !room.closed));
            all.extend(found.rooms);
        }
        assert_eq!(all.len(), 64, "62 of Bob's, random and help");
        assert!(all.is_sorted_by(|a, b| a.active_at >= b.active_at), "the most active first");
        let mut slugs: Vec<_> = all.iter().map(|room| room.room.clone()).collect();
        slugs.sort();
        slugs.dedup();
        assert_eq!(slugs.len(), 64, "none twice");
        assert_eq!(found(&ada, "", 99).await, found(&ada, "", 3).await, "beyond the last page is the last page");
        assert_eq!(found(&ada, "", 0).await, found(&ada, "", 1).await);
    }

    async fn a_search_is_for_names_and_topics_without_case_and_accents(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        bob.ask::<()>("create_room", &[("name", "Café Über"), ("topic", "Kaffee & Kuchen")]).await.unwrap();
        bob.create_room("Дача").await;
        bob.create_room("Uber uns").await;
        for (query, expected) in [
            ("cafe", &["Café Über"][..]),
            ("CAFÉ", &["Café Über"]),
            ("  café   über ", &["Café Über"]),
            ("kuchen", &["Café Über"]),
            ("дАЧ", &["Дача"]),
            // What begins with it comes first.
            ("über", &["Uber uns", "Café Über"]),
            ("nothing of the kind", &[]),
        ] {
            let names: Vec<_> = names(&ada, query).await.into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, expected, "{query}");
        }
    }

    async fn what_is_looked_for_stands_for_nothing_but_itself(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        for name in ["100% Tea", "100 Teas", "snake_case", "snakeXcase", r"back\slash", "it's"] {
            bob.create_room(name).await;
        }
        for (query, name) in [("100%", "100% Tea"), ("e_c", "snake_case"), (r"k\s", r"back\slash"), ("t's", "it's")] {
            assert_eq!(names(&ada, query).await, [(name.to_owned(), false)], "{query}");
        }
        assert_eq!(names(&ada, "' OR 1=1 --").await, []);
        assert_eq!(found(&ada, &"x".repeat(5_000), 1).await.total, 0, "however long it is");
    }

    async fn a_search_finds_ones_own_rooms_too(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        bob.create_room("Tea kitchen").await;
        ada.create_room("Tea at five").await;
        assert_eq!(names(&ada, "tea").await, [("Tea at five".to_owned(), true), ("Tea kitchen".to_owned(), false)]);
        assert!(names(&ada, "").await.iter().all(|(_, member)| !member), "without a search it is what one could join");
        ada.join("tea-kitchen").await;
        ada.leave("tea-at-five").await;
        assert_eq!(names(&ada, "tea").await, [("Tea at five".to_owned(), false), ("Tea kitchen".to_owned(), true)]);
    }

    async fn who_is_not_logged_in_finds_nothing(app: TestApp) {
        assert_eq!(app.visitor().ask::<FoundRooms>("find_rooms", &[]).await, Err(Refusal::LogIn));
    }

    async fn the_home_page_searches_and_pages_without_scripts(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        for n in 0..40 {
            bob.create_room(&format!("Room {n:02}")).await;
        }
        let first = ada.get("/").await.body;
        assert!(first.contains("Page 1 of 2") && first.contains("/?page=2#more-rooms"), "{first}");
        assert!(ada.get("/?page=2").await.body.contains("Page 2 of 2"));
        assert_eq!(ada.get("/?page=nonsense&q=").await.status, 200);
        let found = ada.get("/?q=ROOM+17").await.body;
        assert!(found.contains("Join Room 17") && !found.contains("Page 1"), "{found}");
        let nothing = ada.get("/?q=%3Cb%3E%26").await.body;
        assert!(nothing.contains("No room has"), "{nothing}");
        assert!(nothing.contains("&lt;b&gt;&amp;") && !nothing.contains("<b>&"), "what is looked for is text");
        assert!(nothing.contains("href=\"/new-room?name=%3Cb%3E%26\""), "{nothing}");
        assert!(ada.get("/new-room?name=%3Cb%3E%26").await.body.contains("value=\"&lt;b&gt;&amp;\""));
    }

    async fn who_is_in_every_room_is_told_so(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for room in ["random", "help"] {
            ada.join(room).await;
        }
        assert!(ada.get("/").await.body.contains("You are in every room that there is."));
    }

    async fn the_home_page_leads_to_what_is_unread(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        bob.create_room("Tea").await;
        ada.join("tea").await;
        assert!(ada.get("/").await.body.contains("You have read everything."));
        bob.post("tea", "one").await;
        assert!(ada.get("/").await.body.contains("href=\"/room/tea#new\""), "with little unread the first of it is on the latest page");
        let next = ada.room_in_list("tea").await.read.next();
        for n in 0..60 {
            bob.post("tea", &format!("number {n}")).await;
        }
        assert!(ada.get("/").await.body.contains(&format!("href=\"/room/tea?at={next}#new\"")));
    }
}
