//! Where a server is, as people write it.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::protocol::Slug;

/// A server's address, and the room that it names if it is the address of a room's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether TLS is spoken to it.
    pub tls: bool,
    pub host: Host,
    pub port: u16,
    /// What stands before every path: empty, or `/chat` where a proxy serves Snug below that.
    pub prefix: String,
    pub room: Option<Slug>,
}

/// Why an address is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("that is no address of a server: it begins with https:// or http://, such as https://chat.example.org")]
    Form,
    /// It would stand in the list of processes and in the shell's history.
    #[error(
        "leave name and password out of the address, where others can see them: they are asked for, or put a token into SNUG_TOKEN"
    )]
    Password,
    #[error("that address is of no room that there can be: rooms are named as in their address, such as general")]
    Room,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text.trim()).map_err(|_| AddressError::Form)?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(AddressError::Form),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Password);
        }
        let host = url.host().ok_or(AddressError::Form)?.to_owned();
        let port = url.port_or_known_default().ok_or(AddressError::Form)?;
        let (prefix, room) = match url.path().split_once("/room/") {
            Some((prefix, rest)) => {
                let slug = rest.split('/').next().unwrap_or_default();
                (prefix, Some(Slug::new(slug).map_err(|_| AddressError::Room)?))
            }
            None => (url.path(), None),
        };
        Ok(Self { tls, host, port, prefix: prefix.trim_end_matches('/').to_owned(), room })
    }
}

impl Address {
    /// What the `Host` header says.
    #[must_use]
    pub fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Option<String>) {
        let address: Address = text.parse().expect(text);
        (address.to_string(), address.room.map(String::from))
    }

    #[test]
    fn a_server_is_found_by_any_of_its_addresses() {
        for (text, server, room) in [
            ("https://chat.example.org", "https://chat.example.org", None),
            ("https://chat.example.org/", "https://chat.example.org", None),
            ("http://127.0.0.1:3000/room/general", "http://127.0.0.1:3000", Some("general")),
            ("http://127.0.0.1:3000/room/tea/?at=5#x", "http://127.0.0.1:3000", Some("tea")),
            ("https://example.org/chat/", "https://example.org/chat", None),
            ("https://example.org/chat/room/tea", "https://example.org/chat", Some("tea")),
            ("http://[::1]:3000", "http://[::1]:3000", None),
            ("HTTPS://Chat.Example.org:443/", "https://chat.example.org", None),
        ] {
            assert_eq!(read(text), (server.to_owned(), room.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_for_what_it_lacks() {
        for (text, why) in [
            ("chat.example.org", AddressError::Form),
            ("localhost:3000", AddressError::Form),
            ("ftp://example.org", AddressError::Form),
            ("", AddressError::Form),
            ("https://ada:secret@example.org", AddressError::Password),
            ("https://ada@example.org", AddressError::Password),
            ("https://example.org/room/No%20Room", AddressError::Room),
        ] {
            assert_eq!(text.parse::<Address>(), Err(why), "{text}");
        }
    }
}
