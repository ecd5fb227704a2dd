//! What pages are made of.

pub mod avatar;
pub mod composer;
pub mod draw;
pub mod field;
pub mod finder;
pub mod frame;
pub mod line;
pub mod mark;
pub mod markup;
pub mod news;
pub mod room;
pub mod room_head;
pub mod room_list;
pub mod rows;
pub mod text;
pub mod title;
