//! An authorization server on loopback: it gives tokens to a client that knows its secret (OAuth 2.0, RFC 6749 §4.4),
//! and publishes the key that they are signed with (JWKS, RFC 7517).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::stub::{Answer, Stub};

pub const CLIENT_ID: &str = "graph-client";
pub const CLIENT_SECRET: &str = "oauth-Se-71xWvB04nTgH5s";
/// Who gives the tokens.
pub const ISSUER: &str = "https://issuer.example.com";
pub const AUDIENCE: &str = "kafka";

const KEY_ID: &str = "one";

/// The server. Dropping it stops it.
#[derive(Debug)]
pub struct TokenServer {
    stub: Stub,
    is_refusing: Arc<AtomicBool>,
    signer: Arc<Signer>,
}

impl TokenServer {
    /// Gives tokens that are good for so long.
    ///
    /// # Panics
    /// Where loopback has no port.
    pub fn start(life: Duration) -> Self {
        let signer = Arc::new(Signer::new());
        let signs = Arc::clone(&signer);
        let is_refusing = Arc::<AtomicBool>::default();
        let refuses = Arc::clone(&is_refusing);
        let expected = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
        let stub = Stub::start(move |request| {
            let is_known = request.contains(&expected) && !refuses.load(Ordering::Relaxed);
            match request.split_whitespace().nth(1) {
                Some("/jwks") => answer(200, &signs.jwks()),
                Some("/token") if is_known => answer(200, &signs.grant(life)),
                Some("/token") => answer(401, &json!({"error": "invalid_client"})),
                _ => answer(404, &json!({})),
            }
        });
        Self { stub, is_refusing, signer }
    }

    /// Where a client gets a token.
    pub fn token_url(&self) -> String {
        format!("{}/token", self.stub.url())
    }

    /// Where a broker gets the key.
    pub fn jwks_url(&self) -> String {
        format!("{}/jwks", self.stub.url())
    }

    /// How often a token was asked for.
    pub fn asked(&self) -> usize {
        self.stub.requests().iter().filter(|request| request.starts_with("POST /token ")).count()
    }

    /// What a proxy says of somebody for the next minute, to an audience that believes it.
    pub fn assertion(&self, audience: &str, subject: &str, groups: &[&str]) -> String {
        let now = Timestamp::now().as_second();
        self.signer.sign(&json!({
            "iss": ISSUER, "aud": audience, "sub": subject, "groups": groups, "iat": now, "exp": now + 60,
        }))
    }

    /// From now on it gives no token.
    pub fn refuse(&self) {
        self.is_refusing.store(true, Ordering::Relaxed);
    }
}

fn answer(status: u16, body: &Value) -> Answer {
    (status, vec![("content-type", "application/json".to_owned())], body.to_string())
}

#[derive(Debug)]
struct Signer {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("the key just made");
        Self { key, random }
    }

    fn jwks(&self) -> Value {
        // An uncompressed point: a four, then both coordinates.
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": KEY_ID, "use": "sig", "alg": "ES256", "x": x, "y": y}]})
    }

    fn grant(&self, life: Duration) -> Value {
        let (now, life) = (Timestamp::now().as_second(), life.as_secs());
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": CLIENT_ID, "scope": "kafka", "iat": now,
            "exp": now + i64::try_from(life).expect("a short life"),
        });
        json!({"access_token": self.sign(&claims), "token_type": "Bearer", "expires_in": life})
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": KEY_ID});
        let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.key.sign(&self.random, signed.as_bytes()).expect("it signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
