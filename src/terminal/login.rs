//! Who one is: by a token that one has, or by a name and a password, which are asked for.

use super::ChatError;
use super::ask;
use super::rest::{Rest, RestError, Token};
use crate::protocol::api::LogIn;
use crate::protocol::{Me, PASSWORD_MAX, Refusal};

/// Has a token of a login that was made elsewhere, and stays.
pub const TOKEN_VARIABLE: &str = "SNUG_TOKEN";
/// Has the name to log in with, so that only the password is asked for.
pub const USER_VARIABLE: &str = "SNUG_USER";

/// How often a password is asked for before it is enough.
const TRIES: u32 = 3;

/// A login, and who it is of.
pub struct Login {
    pub me: Me,
    pub token: Token,
    /// It was made here, and ends here.
    made: bool,
}

/// The token of the environment; none when there is none.
///
/// # Errors
/// [`ChatError::BadToken`].
pub fn given() -> Result<Option<Token>, ChatError> {
    match std::env::var(TOKEN_VARIABLE) {
        Ok(token) if token.trim().is_empty() => Ok(None),
        Ok(token) => Token::new(&token).map(Some).ok_or(ChatError::BadToken),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(ChatError::BadToken),
    }
}

impl Login {
    /// By a token.
    ///
    /// # Errors
    /// [`ChatError::OldToken`], or that the server cannot be asked.
    pub async fn by_token(rest: &Rest, token: Token) -> Result<Self, ChatError> {
        match rest.me().await {
            Ok(me) => Ok(Self { me, token, made: false }),
            Err(why) if why.is(&Refusal::LogIn) => Err(ChatError::OldToken),
            Err(why) => Err(why.into()),
        }
    }

    /// By asking for name and password, at the terminal whatever the standard input is.
    ///
    /// # Errors
    /// That there is no terminal, that they do not go together, or that the server cannot be asked.
    pub async fn by_asking(rest: &Rest) -> Result<Self, ChatError> {
        let named = std::env::var(USER_VARIABLE).ok().filter(|name| !name.trim().is_empty());
        let mut tries = 0;
        loop {
            tries += 1;
            let login = asked(named.clone())?;
            match rest.log_in(&login).await {
                Ok(made) => {
                    let token = Token::new(&made.token).ok_or(ChatError::BadToken)?;
                    return Ok(Self { me: made.me, token, made: true });
                }
                Err(why @ RestError::Refused { .. }) if why.is(&Refusal::WrongPassword) && tries < TRIES => eprintln!("{why}"),
                Err(why) => return Err(why.into()),
            }
        }
    }

    /// Ends the login, if it was made here. That the server does not hear it is no failure: it is over by itself within a day.
    pub async fn end(&self, rest: &Rest) {
        if self.made {
            let _over_by_itself = rest.log_out().await;
        }
    }
}

fn asked(named: Option<String>) -> Result<LogIn, ChatError> {
    let terminal = |_| ChatError::NoTerminal;
    let name = match named {
        Some(name) => name,
        None => ask::line("Username or e-mail: ").map_err(terminal)?.trim().to_owned(),
    };
    if name.is_empty() {
        return Err(ChatError::NoName);
    }
    let password = ask::secret("Password: ").map_err(terminal)?;
    // What is longer is nobody's password.
    if password.is_empty() || password.len() > PASSWORD_MAX {
        return Err(ChatError::NoPassword);
    }
    Ok(LogIn { name, password })
}
