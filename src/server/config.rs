//! The settings of the running server: defaults, then the settings file (`Leptos.toml`), then the environment, then flags.
//!
//! [`settings!`] is the one list of them: a line there makes the field, the flag, the environment variable, the key of
//! the file, its help and its bounds.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::PossibleValue;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use crate::protocol::Idle;
use crate::terminal::{TOKEN_VARIABLE, USER_VARIABLE};

/// A setting that cannot be used, as one line for the person who set it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("the settings file {file} can't be used: {why}")]
    File { file: String, why: String },
    #[error("{name} is {value}: allowed is {allowed}")]
    Bounds { name: &'static str, value: u32, allowed: String },
    /// Without the value, which is nobody's business.
    #[error("{name} can't be used: allowed are {least} characters or more, and no line breaks")]
    Secret { name: &'static str, least: usize },
    #[error("the environment has {name}, which is no setting of snug; `snug serve --help` lists them")]
    Unknown { name: String },
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Who may make rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RoomCreation {
    #[default]
    Everyone,
    Admins,
}

impl clap::ValueEnum for Idle {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

/// The address under which people reach this server: scheme, host, port; no path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl {
    /// `https://chat.example.org`, as browsers write it in `Origin`.
    pub origin: String,
    pub secure: bool,
}

impl FromStr for PublicUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|e| format!("{e}; allowed is a URL such as https://chat.example.org"))?;
        if !matches!(url.scheme(), "http" | "https") || !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err("allowed is http:// or https://, a host and a port, without a path".into());
        }
        Ok(Self { origin: url.origin().ascii_serialization(), secure: url.scheme() == "https" })
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A database's address. Its password shows nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://…", self.0.split(':').next().unwrap_or_default())
    }
}

/// Something that only those may know who are told. It shows nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether `other` is the same, in a time that does not tell how much of it is.
    #[must_use]
    pub fn is(&self, other: &[u8]) -> bool {
        // Digests are compared, so that neither length nor content shows in the time.
        Sha256::digest(&self.0) == Sha256::digest(other)
    }

    /// Whether it is long enough, and what a line or a header can hold.
    fn is_sound(&self, least: usize) -> bool {
        self.0.len() >= least && !self.0.contains(char::is_control)
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// The shortest key of tokens, in bytes: as long as what comes of signing with it (RFC 7518, section 3.2).
const TOKEN_KEY_MIN: usize = 32;

/// The shortest token of `/metrics`, in bytes: long enough not to be guessed over a network.
const METRICS_TOKEN_MIN: usize = 16;

/// A network of addresses, such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let wide = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, true),
            IpAddr::V6(v6) => (u128::from(v6), false),
        };
        let ((base, four), (other, other_four)) = (wide(self.base), wide(address.to_canonical()));
        let shift = 128 - u32::from(self.bits);
        four == other_four && (shift == 128 || base >> shift == other >> shift)
    }
}

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not an address or a network such as 10.0.0.0/8");
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let base: IpAddr = base.trim().parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { base, bits })
    }
}

/// Networks, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Networks(pub Vec<Network>);

impl FromStr for Networks {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Network::from_str).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for Networks {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Origins, as browsers write them (`https://chat.example.org`), separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origins(pub Vec<String>);

impl FromStr for Origins {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let origins = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        origins.map(|part| part.parse::<PublicUrl>().map(|url| url.origin)).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for Origins {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

macro_rules! settings {
    (
        plain { $( $(#[doc = $doc:literal])+ $name:ident ($env:literal): $type:ty = $default:expr; )* }
        optional { $( $(#[doc = $odoc:literal])+ $oname:ident ($oenv:literal): $otype:ty; )* }
        limits { $( $(#[doc = $ldoc:literal])+ $lname:ident ($lenv:literal) = $ldefault:literal, $least:literal to $most:literal; )* }
    ) => {
        /// The settings of a server.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $( $(#[doc = $doc])+ pub $name: $type, )*
            $( $(#[doc = $odoc])+ pub $oname: Option<$otype>, )*
            $( $(#[doc = $ldoc])+ pub $lname: u32, )*
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $( $name: $default, )* $( $oname: None, )* $( $lname: $ldefault, )* }
            }
        }

        /// Settings given in one place; what is not given there is `None`.
        #[derive(Clone, Debug, Default, clap::Args, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Given {
            $( $(#[doc = $doc])+ #[arg(long, env = $env)] $name: Option<$type>, )*
            $( $(#[doc = $odoc])+ #[arg(long, env = $oenv, hide_env_values = true)] $oname: Option<$otype>, )*
            $( #[doc = concat!($($ldoc,)+ " [default: ", $ldefault, "; ", $least, " to ", $most, "]")]
               #[arg(long, env = $lenv, help_heading = "Limits", value_name = "N")] $lname: Option<u32>, )*
        }

        impl Settings {
            /// Lays `over` over `under` over the defaults, and checks the bounds.
            fn resolve(over: Given, under: Given) -> Result<Self, ConfigError> {
                let defaults = Self::default();
                let settings = Self {
                    $( $name: over.$name.or(under.$name).unwrap_or(defaults.$name), )*
                    $( $oname: over.$oname.or(under.$oname), )*
                    $( $lname: over.$lname.or(under.$lname).unwrap_or(defaults.$lname), )*
                };
                $( if !($least..=$most).contains(&settings.$lname) {
                    let allowed = concat!($least, " to ", $most).to_owned();
                    return Err(ConfigError::Bounds { name: stringify!($lname), value: settings.$lname, allowed });
                } )*
                let secrets = [
                    ("token_key", &settings.token_key, TOKEN_KEY_MIN),
                    ("metrics_token", &settings.metrics_token, METRICS_TOKEN_MIN),
                ];
                for (name, secret, least) in secrets {
                    if secret.as_ref().is_some_and(|secret| !secret.is_sound(least)) {
                        return Err(ConfigError::Secret { name, least });
                    }
                }
                Ok(settings)
            }
        }

        /// The environment variables that are settings.
        const ENVIRONMENT: &[&str] = &[ $( $env, )* $( $oenv, )* $( $lenv, )* ];
    };
}

settings! {
    plain {
        /// Address and port to listen on; port 0 takes a free one. [default: 127.0.0.1:3000]
        addr ("SNUG_ADDR"): SocketAddr = SocketAddr::from(([127, 0, 0, 1], 3000));
        /// Folder for what is kept (the SQLite file, the lock). [default: data]
        data ("SNUG_DATA"): PathBuf = PathBuf::from("data");
        /// Networks of the reverse proxies whose X-Forwarded-For is believed, separated by commas. [default: none]
        trusted_proxy ("SNUG_TRUSTED_PROXY"): Networks = Networks::default();
        /// Origins whose scripts may use the API, separated by commas. [default: none]
        cors_origins ("SNUG_CORS_ORIGINS"): Origins = Origins::default();
        /// After how long without a message a room closes, where who makes it does not choose. [default: never]
        room_idle ("SNUG_ROOM_IDLE"): Idle = Idle::Never;
        /// Who may make rooms. [default: everyone]
        room_creation ("SNUG_ROOM_CREATION"): RoomCreation = RoomCreation::Everyone;
        /// How log lines are written. [default: text]
        log_format ("SNUG_LOG_FORMAT"): LogFormat = LogFormat::Text;
    }
    optional {
        /// postgres://USER:PASSWORD@HOST/NAME or sqlite://FILE. [default: snug.db in the data folder]
        database_url ("DATABASE_URL"): DatabaseUrl;
        /// The address that people type, such as https://chat.example.org. [default: whatever they came by]
        public_url ("SNUG_PUBLIC_URL"): PublicUrl;
        /// What programs' tokens are signed with: at least 32 bytes. [default: made at the first start, kept in the database]
        token_key ("SNUG_TOKEN_KEY"): Secret;
        /// What /metrics asks for as `Authorization: Bearer …`. [default: none; then it answers on this machine only]
        metrics_token ("SNUG_METRICS_TOKEN"): Secret;
    }
    limits {
        /// Characters in a message.
        text_max ("SNUG_TEXT_MAX") = 4000, 1 to 16000;
        /// Bytes in a frame from a client.
        frame_max ("SNUG_FRAME_MAX") = 65536, 1024 to 1048576;
        /// Bytes in the headers of a request, with its first line.
        header_max ("SNUG_HEADER_MAX") = 32768, 8192 to 65536;
        /// Bytes in the body of a request.
        body_max ("SNUG_BODY_MAX") = 65536, 1024 to 1048576;
        /// Messages a person may send a second, on average.
        send_rate ("SNUG_SEND_RATE") = 10, 1 to 1000000;
        /// Messages a person may send at once before that average counts.
        send_burst ("SNUG_SEND_BURST") = 30, 1 to 1000000;
        /// Other commands that a connection may send a second, on average; five times that at once.
        command_rate ("SNUG_COMMAND_RATE") = 20, 1 to 1000000;
        /// Wrong passwords for an account from one address in ten minutes; each of them comes back after a share of these.
        failed_logins ("SNUG_FAILED_LOGINS") = 10, 1 to 1000000;
        /// Wrong passwords from one address in ten minutes, for whichever accounts. An IPv6 address counts as its /64.
        failed_logins_per_address ("SNUG_FAILED_LOGINS_PER_ADDRESS") = 300, 1 to 1000000;
        /// Wrong passwords for an account in ten minutes; beyond, only addresses that it has logged in from before get in.
        failed_logins_per_account ("SNUG_FAILED_LOGINS_PER_ACCOUNT") = 100, 1 to 1000000;
        /// Accounts that may be made, or tried to be, from one address in an hour.
        sign_ups_per_address ("SNUG_SIGN_UPS_PER_ADDRESS") = 100, 1 to 1000000;
        /// Rooms that a person may make in an hour.
        rooms_per_hour ("SNUG_ROOMS_PER_HOUR") = 30, 1 to 1000000;
        /// Live connections that a person may open in a minute.
        sockets_per_minute ("SNUG_SOCKETS_PER_MINUTE") = 120, 1 to 1000000;
        /// Live connections that may be opened, or tried to be, from one address in a minute.
        sockets_per_address ("SNUG_SOCKETS_PER_ADDRESS") = 3000, 1 to 1000000;
        /// Live connections a person may have at once.
        sockets_per_user ("SNUG_SOCKETS_PER_USER") = 32, 1 to 100000;
        /// Rooms a person may make.
        rooms_per_user ("SNUG_ROOMS_PER_USER") = 100, 1 to 100000;
        /// Passwords that are hashed at the same time; each takes 19 MiB.
        hashes_at_once ("SNUG_HASHES_AT_ONCE") = 2, 1 to 64;
        /// Passwords that wait to be hashed before more are refused.
        hashes_waiting ("SNUG_HASHES_WAITING") = 256, 1 to 10000;
        /// Missed events of a room that are replayed; who missed more fetches the room anew.
        replay_max ("SNUG_REPLAY_MAX") = 1000, 0 to 100000;
        /// Bytes that wait for a connection before it has to catch up from the log.
        queue_bytes ("SNUG_QUEUE_BYTES") = 1048576, 65536 to 67108864;
        /// Seconds in which a request's headers must have come.
        header_timeout ("SNUG_HEADER_TIMEOUT") = 10, 1 to 600;
        /// Seconds in which a request's body must have come.
        body_timeout ("SNUG_BODY_TIMEOUT") = 20, 1 to 600;
        /// Seconds after which a live connection from which nothing came is closed.
        idle_timeout ("SNUG_IDLE_TIMEOUT") = 75, 1 to 3600;
        /// Seconds that a connection may take nothing of what it is sent before it is closed.
        write_timeout ("SNUG_WRITE_TIMEOUT") = 30, 1 to 600;
        /// Seconds that a stopping server waits for requests under way.
        shutdown_timeout ("SNUG_SHUTDOWN_TIMEOUT") = 10, 0 to 600;
        /// Seconds after a person's last connection has gone until they count as gone.
        presence_grace ("SNUG_PRESENCE_GRACE") = 10, 0 to 600;
    }
}

impl Given {
    /// Where the database is, and nothing else.
    #[must_use]
    pub fn place(data: Option<PathBuf>, database_url: Option<DatabaseUrl>) -> Self {
        Self { data, database_url, ..Self::default() }
    }
}

/// Variables for building and testing, which the server passes over.
const DEVELOPMENT: &str = "SNUG_DEV_";

/// Names the settings file; not a setting in it.
pub const FILE_VARIABLE: &str = "SNUG_CONFIG";

/// The settings file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "Leptos.toml";

impl Settings {
    /// Reads the settings: `given` has flags and environment; the file is `file`, or [`DEFAULT_FILE`] where it exists.
    ///
    /// # Errors
    /// A file that is named but missing, an unknown key or variable, a value out of its bounds.
    pub fn load(mut given: Given, file: Option<&Path>) -> Result<Self, ConfigError> {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let others = [FILE_VARIABLE, TOKEN_VARIABLE, USER_VARIABLE];
            let ours = name.starts_with("SNUG_") && !name.starts_with(DEVELOPMENT) && !others.contains(&&*name);
            if ours && !ENVIRONMENT.contains(&&*name) {
                return Err(ConfigError::Unknown { name: name.into_owned() });
            }
        }
        // `cargo leptos watch` says where its proxy expects the server.
        if given.addr.is_none() && std::env::var_os("LEPTOS_WATCH").is_some() {
            given.addr = std::env::var("LEPTOS_SITE_ADDR").ok().and_then(|addr| addr.parse().ok());
        }
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let from_file = match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| ConfigError::File {
                file: path.display().to_string(),
                why: error.to_string().trim().replace('\n', " "),
            })?,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => Given::default(),
            Err(error) => return Err(ConfigError::File { file: path.display().to_string(), why: error.to_string() }),
        };
        Self::resolve(given, from_file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_lie_over_the_file_and_the_file_over_the_defaults() {
        let file: Given = toml::from_str("text_max = 10\nsend_rate = 5").expect("a valid file");
        let flags = Given { text_max: Some(20), ..Given::default() };
        let settings = Settings::resolve(flags, file).expect("within bounds");
        assert_eq!((settings.text_max, settings.send_rate, settings.send_burst), (20, 5, 30));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = toml::from_str::<Given>("txt_max = 10").expect_err("unknown");
        assert!(error.to_string().contains("txt_max"), "{error}");
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_with_what_is_allowed() {
        let flags = Given { text_max: Some(0), ..Given::default() };
        let error = Settings::resolve(flags, Given::default()).expect_err("out of bounds");
        assert_eq!(error.to_string(), "text_max is 0: allowed is 1 to 16000");
    }

    #[test]
    fn a_public_url_is_an_origin() {
        let url: PublicUrl = "https://Chat.Example.org/".parse().expect("a URL");
        assert_eq!((url.origin.as_str(), url.secure), ("https://chat.example.org", true));
        assert!("https://example.org/chat".parse::<PublicUrl>().is_err());
        assert!("ftp://example.org".parse::<PublicUrl>().is_err());
    }

    #[test]
    fn a_secret_is_long_and_shows_nowhere() {
        let secret = Secret::from("correct-horse-battery".to_owned());
        assert!(secret.is(b"correct-horse-battery") && !secret.is(b"correct-horse-batter") && !secret.is(b""));
        assert!(!format!("{secret:?}").contains("horse"));
        assert!(secret.is_sound(16) && !secret.is_sound(32));
        assert!(!Secret::from("sixteen or more,\nbut in two lines".to_owned()).is_sound(16));
    }

    #[test]
    fn networks_contain_their_addresses_only() {
        let nets: Networks = "10.0.0.0/8, ::1".parse().expect("networks");
        let within = |ip: &str| nets.0.iter().any(|n| n.contains(ip.parse().expect("an address")));
        assert!(within("10.200.3.4") && within("::1") && within("::ffff:10.1.1.1"));
        assert!(!within("11.0.0.1") && !within("::2"));
        assert!("10.0.0.0/33".parse::<Network>().is_err());
    }
}
