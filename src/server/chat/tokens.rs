//! What programs show to say who they are: tokens, which are JWTs that name a login, and tickets, which open one socket. Both
//! are worth what their login is worth: it is looked up each time, and when it has ended they are worth nothing.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Actor, Chat, TOUCH_AFTER, fault, now};
use crate::protocol::api::{Ticket, Token};
use crate::protocol::{Micros, Refusal};
use crate::server::store::LoginId;

/// Microseconds that a token's login lasts: 24 hours.
pub(super) const TOKEN_LASTS: i64 = 24 * 3600 * SECOND;

/// Microseconds in which a ticket must be used.
const TICKET_LASTS: i64 = 30 * SECOND;

const SECOND: i64 = 1_000_000;

/// Whom tokens are for: another one is not for this server, whoever signed it.
const AUDIENCE: &str = "snug";

/// What a token says.
#[derive(Serialize, Deserialize)]
struct Claims {
    /// The person's public id.
    sub: Uuid,
    aud: String,
    /// Seconds since 1970.
    exp: i64,
    iat: i64,
    /// The login's public id.
    sid: Uuid,
}

/// Signs tokens, and knows its own again.
pub(super) struct Tokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(key: &[u8]) -> Self {
        // Once in a process; a second server in it finds it installed.
        let _installed_before = HS256.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        Self { signing: EncodingKey::from_secret(key), verifying: DecodingKey::from_secret(key), validation }
    }

    /// A new key: as long as the hash, so that it is no easier to guess.
    pub(super) fn fresh_key() -> [u8; 32] {
        rand::random()
    }

    fn sign(&self, claims: &Claims) -> Option<String> {
        encode(&Header::new(Algorithm::HS256), claims, &self.signing).ok()
    }

    /// The login that a token names, if it is ours and not over.
    #[cfg(fuzzing)]
    pub(super) fn opens(&self, token: &str) -> Option<Uuid> {
        self.claims(token).map(|claims| claims.sid)
    }

    fn claims(&self, token: &str) -> Option<Claims> {
        decode(token, &self.verifying, &self.validation).ok().map(|token| token.claims)
    }
}

fn hash(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket).into()
}

impl Chat {
    /// A token for the login that acts, which was made for a program; it lasts as long as that.
    ///
    /// # Errors
    /// [`Refusal::Internal`] for the login of a session, which has no such end.
    pub fn token(&self, actor: &Actor) -> Result<Token, Refusal> {
        let expires_at = actor.program.then_some(actor.until).ok_or(Refusal::Internal)?;
        let (exp, iat) = (expires_at.0 / SECOND, now().0 / SECOND);
        let claims = Claims { sub: actor.user.0, aud: AUDIENCE.to_owned(), exp, iat, sid: actor.login.0 };
        let token = self.0.tokens.sign(&claims).ok_or(Refusal::Internal)?;
        Ok(Token { token, expires_at, me: actor.me() })
    }

    /// Who shows this token; none when it is not one of ours, or worth nothing any more.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] or [`Refusal::Internal`].
    pub async fn actor_of_token(&self, token: &str) -> Result<Option<Actor>, Refusal> {
        let Some(claims) = self.0.tokens.claims(token) else { return Ok(None) };
        let actor = self.actor(LoginId(claims.sid)).await?.filter(|actor| actor.user.0 == claims.sub);
        if let Some(actor) = actor.as_ref().filter(|actor| now().0 - actor.seen.0 > TOUCH_AFTER) {
            // Who cannot be noted as seen (the disk is full) is served all the same.
            if let Err(why) = self.touch_login(actor.login).await {
                tracing::debug!(%why, "a login was not touched");
            }
        }
        Ok(actor)
    }

    /// A ticket: it opens one socket of the login that acts, within 30 seconds, and may stand in an address.
    ///
    /// # Errors
    /// A fault.
    pub async fn ticket(&self, actor: &Actor) -> Result<Ticket, Refusal> {
        let ticket = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let at = now();
        let expires_at = Micros(at.0 + TICKET_LASTS);
        self.store().add_ticket(&hash(&ticket), actor.login, expires_at, at).await.map_err(fault)?;
        Ok(Ticket { ticket, expires_at })
    }

    /// Who shows this ticket, which is worth nothing from now on; none when it was not worth anything before.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] or [`Refusal::Internal`].
    pub async fn actor_of_ticket(&self, ticket: &str) -> Result<Option<Actor>, Refusal> {
        match self.store().take_ticket(&hash(ticket), now()).await.map_err(fault)? {
            Some(login) => self.actor(login).await,
            None => Ok(None),
        }
    }
}

/// HMAC with SHA-256, and nothing else: what is signed in any other way is not ours.
static HS256: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

struct Hs256(Hmac<Sha256>);

fn hs256(algorithm: Algorithm, key: &[u8]) -> Result<Hs256, Error> {
    if algorithm != Algorithm::HS256 {
        return Err(new_error(ErrorKind::UnsupportedAlgorithm));
    }
    Hmac::new_from_slice(key).map(Hs256).map_err(|_| new_error(ErrorKind::InvalidKeyFormat))
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Ok(Box::new(hs256(*algorithm, key.as_bytes())?))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    Ok(Box::new(hs256(*algorithm, key.try_get_as_bytes()?)?))
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        // In constant time.
        self.0.clone().chain_update(message).verify_slice(signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7515, appendix A.1: its key, and what it signs.
    const KEY: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    const SIGNED: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const SIGNATURE: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[test]
    fn signatures_are_those_of_the_standard() {
        let key = URL_SAFE_NO_PAD.decode(KEY).expect("base64");
        let signature = URL_SAFE_NO_PAD.decode(SIGNATURE).expect("base64");
        let hs256 = hs256(Algorithm::HS256, &key).expect("a key");
        assert_eq!(hs256.try_sign(SIGNED.as_bytes()).expect("signed"), signature);
        assert!(hs256.verify(SIGNED.as_bytes(), &signature).is_ok());
        assert!(hs256.verify(SIGNED.as_bytes(), &signature[..31].to_vec()).is_err());
        assert!(hs256.verify(b"another", &signature).is_err());
    }

    #[test]
    fn no_other_algorithm_is_taken() {
        for algorithm in [Algorithm::HS384, Algorithm::HS512, Algorithm::RS256, Algorithm::ES256] {
            assert!(super::hs256(algorithm, b"key").is_err(), "{algorithm:?}");
        }
    }
}
