//! A broker that is reached over TLS only: with or without a certificate of the client's, by a password, by a token.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::jars::{JarBroker, More, free_ports};
use crate::certificates::Authority;
use crate::tokens::{AUDIENCE, ISSUER, TokenServer};

/// Who logs in by a password.
pub const USER: &str = "graph";
pub const PASSWORD: &str = "scram-Pw-5kV0tR82yQmZ";
/// How long a connection may live before it has to show a newer token (ms). As long as it is shorter than a token's
/// life, it is this that counts.
const REAUTHENTICATION_MS: u32 = 5_000;

/// The running broker. On its first listener everybody is let in without TLS: it is the harness's own.
#[derive(Debug)]
pub struct SecuredBroker {
    broker: JarBroker,
    tls: u16,
    mutual: u16,
    login: u16,
    authority: PathBuf,
}

impl SecuredBroker {
    /// Starts a broker whose certificate the authority has signed, and which trusts the authority's clients and the
    /// server's tokens.
    pub fn start(folder: &Path, authority: &Authority, tokens: &TokenServer) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (tls, mutual) = free_ports()?;
        let (login, _) = free_ports()?;
        let identity = authority.identity("broker")?;
        let (keys, trusted) = (folder.join("broker.pem"), folder.join("authority.pem"));
        fs::write(&keys, [&*identity.key, &identity.certificate, &authority.certificate()].concat())?;
        fs::write(&trusted, authority.certificate())?;
        let module = |name: &str| format!("org.apache.kafka.common.security.{name} required");
        let properties = format!(
            "listener.security.protocol.map=\
             PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MUTUAL:SSL,LOGIN:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={keys}
ssl.truststore.type=PEM
ssl.truststore.location={trusted}
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER
listener.name.login.plain.sasl.jaas.config={plain} user_{USER}=\"{PASSWORD}\";
listener.name.login.scram-sha-512.sasl.jaas.config={scram};
listener.name.login.oauthbearer.sasl.jaas.config={oauthbearer};
listener.name.login.oauthbearer.sasl.server.callback.handler.class=\
             org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.login.oauthbearer.connections.max.reauth.ms={REAUTHENTICATION_MS}
sasl.oauthbearer.jwks.endpoint.url={jwks}
sasl.oauthbearer.expected.audience={AUDIENCE}
sasl.oauthbearer.expected.issuer={ISSUER}
",
            keys = keys.display(),
            trusted = trusted.display(),
            plain = module("plain.PlainLoginModule"),
            scram = module("scram.ScramLoginModule"),
            oauthbearer = module("oauthbearer.OAuthBearerLoginModule"),
            jwks = tokens.jwks_url(),
        );
        let more = More {
            listener: format!(",TLS://127.0.0.1:{tls},MUTUAL://127.0.0.1:{mutual},LOGIN://127.0.0.1:{login}"),
            properties,
            // Since Kafka 4.0 a broker asks only URLs that are on its list.
            java: vec![format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={}", tokens.jwks_url())],
            format: vec![
                "--add-scram".to_owned(),
                format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]"),
            ],
            ..More::default()
        };
        let broker = JarBroker::start_with(folder, &more)?;
        Ok(Self { broker, tls, mutual, login, authority: trusted })
    }

    /// The bootstrap server without TLS.
    pub fn address(&self) -> &str {
        self.broker.address()
    }

    /// The bootstrap server for clients that trust the authority.
    pub fn tls_address(&self) -> String {
        format!("127.0.0.1:{}", self.tls)
    }

    /// The bootstrap server for clients that also have a certificate of the authority.
    pub fn mutual_address(&self) -> String {
        format!("127.0.0.1:{}", self.mutual)
    }

    /// The bootstrap server for clients that log in.
    pub fn login_address(&self) -> String {
        format!("127.0.0.1:{}", self.login)
    }

    /// The file with the authority's certificate.
    pub fn authority(&self) -> &Path {
        &self.authority
    }
}
