//! The pages, one file each.

mod home;
mod login;
mod new_room;
mod not_found;
mod room;
mod settings;
mod shortcuts;
mod signup;

pub use home::Home;
pub use login::LogIn;
pub use new_room::NewRoom;
pub use not_found::NotFound;
pub use room::RoomPage;
pub use settings::Settings;
pub use shortcuts::Shortcuts;
pub use signup::SignUp;

use std::future::Future;

use leptos::either::Either;
use leptos::prelude::*;
use leptos::tachys::reactive_graph::OwnedView;

use super::parts::frame::{Trouble, around};
use crate::protocol::{Me, Refusal, RoomItem};

/// A page for someone who is logged in: reads what stands around every page, then what `page` reads.
fn page<F, V>(page: impl FnOnce(Me, Vec<RoomItem>) -> F + Send + 'static) -> impl IntoView
where
    F: Future<Output = Result<V, Refusal>> + Send,
    V: IntoView + 'static,
{
    // No closure around it: what is read for a page is read once.
    // Without `<Suspense>`, whose fallback no page shows: it spawns a task for each page, and another thread wakes up for it.
    Suspend::new(async move {
        let made = async {
            let (me, rooms) = around().await?;
            page(me, rooms).await
        };
        match made.await {
            // What is written when this has been waited for is written as what it is now: a part of this page, with its contexts.
            Ok(view) => Either::Left(OwnedView::new(view)),
            Err(why) => Either::Right(OwnedView::new(view! { <Trouble why=why/> })),
        }
    })
}
