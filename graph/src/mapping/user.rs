//! A user: the entity and account HAS user.

use schemas::{
    codec::Digest,
    element::{Content, Element, ElementType, Ends, User},
    raw,
};

use super::{Context, epoch_ms, first_filled};

const ADMIN_ROLES: [&str; 3] = ["admin", "owner", "primary_owner"];

pub(super) fn elements(context: &Context, resource: Digest, user: &raw::User) -> Vec<Element> {
    let has = relationship(context.organization_id, ElementType::User.entity_key(&user.id));
    let contents = [Content::User(Box::new(columns(user))), has];
    contents.map(|content| context.element(content, resource)).into()
}

/// The relationship that leads to the user of that key.
pub(super) fn relationship(organization_id: &str, user_key: String) -> Content {
    Content::AccountHasUser(Ends {
        from_key: ElementType::Account.entity_key(organization_id),
        to_key: user_key,
    })
}

fn columns(user: &raw::User) -> User {
    let address = user.email.as_deref().map(|email| email.trim().to_lowercase());
    let parts = address
        .as_deref()
        .and_then(|address| address.rsplit_once('@'))
        .filter(|(login, domain)| !login.is_empty() && !domain.is_empty());
    let email: Vec<String> = parts.and(address.clone()).into_iter().collect();
    let (first_name, last_name) = first_and_last_name(user.name.as_deref().unwrap_or_default());
    User {
        id: user.id.clone(),
        name: first_filled([user.name.as_deref(), user.email.as_deref(), Some(&user.id)]),
        username: email.clone(),
        email,
        short_login_id: parts.map(|(login, _)| login.to_owned()).into_iter().collect(),
        email_domain: parts.map(|(_, domain)| domain.to_owned()).into_iter().collect(),
        first_name,
        last_name,
        is_admin: user.role.as_deref().is_some_and(|role| ADMIN_ROLES.contains(&role)),
        role: user.role.clone(),
        is_active: true,
        created_on: user.added_at.as_deref().and_then(epoch_ms),
    }
}

/// The API gives one name: all but its last word is the first name. An e-mail address is not a name.
fn first_and_last_name(name: &str) -> (Option<String>, Option<String>) {
    if name.contains('@') {
        return (None, None);
    }
    let words: Vec<&str> = name.split_whitespace().collect();
    match words.as_slice() {
        [] => (None, None),
        [only] => (Some((*only).to_owned()), None),
        [first @ .., last] => (Some(first.join(" ")), Some((*last).to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use schemas::raw;

    use super::{columns, first_and_last_name};

    #[test]
    fn a_name_is_split_at_its_last_space() {
        let cases = [
            ("Ada Diaz", Some("Ada"), Some("Diaz")),
            ("  Ana  de la\tTorre ", Some("Ana de la"), Some("Torre")),
            ("Prince", Some("Prince"), None),
            ("raj@nimbus.example", None, None),
            ("", None, None),
        ];
        for (name, first, last) in cases {
            assert_eq!(
                first_and_last_name(name),
                (first.map(str::to_owned), last.map(str::to_owned)),
                "{name}"
            );
        }
    }

    #[test]
    fn an_address_is_lower_cased_and_taken_apart_at_its_last_at_sign() {
        let cases = [
            (" Ada@Nimbus.Example ", vec!["ada@nimbus.example"], vec!["ada"], vec!["nimbus.example"]),
            ("a@b@c.example", vec!["a@b@c.example"], vec!["a@b"], vec!["c.example"]),
            ("ada", vec![], vec![], vec![]),
            ("@nimbus.example", vec![], vec![], vec![]),
            ("ada@", vec![], vec![], vec![]),
        ];
        for (email, address, login, domain) in cases {
            let user = columns(&raw::User { email: Some(email.to_owned()), ..raw::User::default() });
            assert_eq!(user.email, address, "{email}");
            assert_eq!(user.username, address, "{email}");
            assert_eq!(user.short_login_id, login, "{email}");
            assert_eq!(user.email_domain, domain, "{email}");
        }
    }
}
