//! Signatures of JSON Web Tokens, checked by ring, which TLS has already. `jsonwebtoken` leaves the choice to its user.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    signature::{Error, Verifier},
};
use ring::signature as known;

/// The algorithms of assertions: none whose key could sign as well as check.
pub(crate) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    // Only what makes keys out of keys uses them.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has `jsonwebtoken` use ring.
pub(crate) fn install() {
    // An error means that it is installed already.
    let _ = RING.install_default();
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if !ALGORITHMS.contains(&algorithm) || key.family() != family(algorithm) {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Ring { algorithm, key: key.clone() }))
}

fn family(algorithm: Algorithm) -> AlgorithmFamily {
    match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => AlgorithmFamily::Ec,
        Algorithm::EdDSA => AlgorithmFamily::Ed,
        _ => AlgorithmFamily::Rsa,
    }
}

struct Ring {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let is_right = match (self.key.kind(), self.algorithm) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, algorithm) => rsa(algorithm).is_some_and(|rsa| {
                known::RsaPublicKeyComponents { n, e }.verify(rsa, message, signature).is_ok()
            }),
            (DecodingKeyKind::SecretOrDer(point), algorithm) => curve(algorithm).is_some_and(|curve| {
                known::UnparsedPublicKey::new(curve, point).verify(message, signature).is_ok()
            }),
        };
        is_right.then_some(()).ok_or_else(Error::new)
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static known::RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &known::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &known::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &known::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &known::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &known::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &known::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn curve(algorithm: Algorithm) -> Option<&'static dyn known::VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::ES256 => &known::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &known::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDSA => &known::ED25519,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::{Algorithm, DecodingKey, jwk::Jwk};
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
    };
    use serde_json::{Value, json};

    use super::{ALGORITHMS, verifier};

    const MESSAGE: &[u8] = b"header.claims";
    /// A key of 2048 bits and its signatures of the message, made by OpenSSL; the private key is thrown away.
    const MODULUS: &str = "r1A-kv2jbVsP7lLa5ADZA_2CdTFswnD4wNV79xxrjH40jQYay27VoVELGuXAa2X7-P9fQd6dDs1dj6N1aWo5q-nbRlBWKzJS\
     AVpRCFbOofq2qeLOwW54x7L1EAYtElu729lKF-ke1vUh9Hawa0FLfAMQLUKaus_TNmCICyQ_4E5jtliBOh6TyFVbcGCCTZo2\
     a1NDTpdwxXFL2uZJw_lGQADrO1ML-ZB-def3hiolpVxImpye_iZmMOu34pP1k4mp3dGu-5x1ThPuANmZbtwAWiW-xsFXKTaN\
     rnt813nZbMjghrJQWNsefsIfFvr4MhgrAGTMM2a2GUN7K2S0IvalcQ";
    const RS256: &str = "TgUvEGb8kGwXpoZc3sIdWaOpS7nG1B0mV12lmnthjZ3Pg4CJZmmK79u9Lys6YjaI3M8iwlK1eD1bt9gH9cg1fZwl8T2Dfv63\
     kBvucGR3w_xfdmZ7W-DJjrQh_-PxkFYHkfmc_tb-tx0kXYEBb5b1h0b0x9HAHp73K2XM3ssceAZ1Oa3SjbXrOeuwTq4LbCmM\
     9x5echLfl7K_U027qLHC6jO3ShfpYwhE-5i_NOv5cepHRex0CKTBg89QNBymZVNKot74JcRIgrLjs--5SnFr4GWAJ4_1t86C\
     tH6MiVVlUHhqBKlTdsn76HF2MkMUnpccOQ07MCHlr_kP9CdB5TMYdg";
    const PS256: &str = "V4yp3ExWnMMDPpWjICCrReS7wi6OKtZajKCgC_Wl-huMCpX3bbtJ57ZloqhFPtoD5Xaf4qKlRXAgylIgW-B4ax-gC3WuS96B\
     qtJYW5ywAjPWedIZuKuuBmOgiqS84JooAtw3wfWkEUAT-hWBecxgpa7ezlm7InfaP6n3stKmu4KQahx7_1MN2Oe3-2qwCinC\
     mtC83HU34d8Kz0WYhe3rf53zeI82CDk_yUXhr-LgT_vfCJngY8adqtLgyT3mXOSJE1EcVBgZlg9awPPaRV9mTk1i_XbzZBdf\
     5FwAN4StZgkNh_4M1Kf285XfK5K64WFFVp5dki3hnjf1vxWmDxMyrw";

    fn key(jwk: Value) -> DecodingKey {
        let jwk: Jwk = serde_json::from_value(jwk).expect("a key");
        DecodingKey::from_jwk(&jwk).expect("a key")
    }

    fn text(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The algorithms that take the signature of the message.
    fn taken_by(key: &DecodingKey, message: &[u8], signature: &[u8]) -> Vec<Algorithm> {
        let every = [ALGORITHMS.as_slice(), &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]].concat();
        let takes = |algorithm: &Algorithm| {
            let verifier = verifier(*algorithm, key);
            verifier.is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
        };
        every.into_iter().filter(takes).collect()
    }

    #[test]
    fn a_signature_is_right_by_its_own_algorithm_alone() {
        let random = SystemRandom::new();
        let rsa = key(json!({ "kty": "RSA", "n": MODULUS, "e": "AQAB" }));
        let of_rsa = |signature| URL_SAFE_NO_PAD.decode(signature).expect("Base64");
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).expect("a key");
        let p384 = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, document.as_ref(), &random);
        let p384 = p384.expect("a key");
        let (x, y) = p384.public_key().as_ref()[1..].split_at(48);
        let curve = key(json!({ "kty": "EC", "crv": "P-384", "x": text(x), "y": text(y) }));
        let document = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        let edwards = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
        let public = key(json!({ "kty": "OKP", "crv": "Ed25519", "x": text(edwards.public_key()) }));
        for (algorithm, key, signature) in [
            (Algorithm::RS256, &rsa, of_rsa(RS256)),
            (Algorithm::PS256, &rsa, of_rsa(PS256)),
            (Algorithm::ES384, &curve, p384.sign(&random, MESSAGE).expect("it signs").as_ref().to_vec()),
            (Algorithm::EdDSA, &public, edwards.sign(MESSAGE).as_ref().to_vec()),
        ] {
            assert_eq!(taken_by(key, MESSAGE, &signature), [algorithm]);
            assert_eq!(taken_by(key, b"header.Claims", &signature), [], "another message, by {algorithm:?}");
        }
    }

    #[test]
    fn a_secret_checks_nothing() {
        let secret = key(json!({ "kty": "oct", "k": text(b"secret") }));
        let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"secret"), MESSAGE);
        assert_eq!(taken_by(&secret, MESSAGE, tag.as_ref()), []);
    }
}
