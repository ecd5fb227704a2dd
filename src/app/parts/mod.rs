//! What pages are made of.

pub mod avatar;
pub mod field;
pub mod finder;
pub mod frame;
pub mod here;
pub mod line;
pub mod mark;
pub mod news;
pub mod room;
pub mod room_list;
pub mod rows;
pub mod text;
