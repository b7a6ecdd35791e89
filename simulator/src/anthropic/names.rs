//! Invented names of people, teams and keys.

use super::dice::Dice;

/// Given names, as written and as in an e-mail address.
const GIVEN: [(&str, &str); 24] = [
    ("Ada", "ada"),
    ("Zoë", "zoe"),
    ("Raj", "raj"),
    ("Mónica", "monica"),
    ("Jürgen", "jurgen"),
    ("美咲", "misaki"),
    ("Olena", "olena"),
    ("Søren", "soren"),
    ("Amara", "amara"),
    ("José María", "josemaria"),
    ("Nora", "nora"),
    ("Łukasz", "lukasz"),
    ("Priya", "priya"),
    ("Tomás", "tomas"),
    ("Ines", "ines"),
    ("Владимир", "vladimir"),
    ("Chiara", "chiara"),
    ("Kwame", "kwame"),
    ("Ben", "ben"),
    ("Élodie", "elodie"),
    ("Hana", "hana"),
    ("Omar", "omar"),
    ("Freya", "freya"),
    ("Mateo", "mateo"),
];

/// Family names, as written and as in an e-mail address.
const FAMILY: [(&str, &str); 20] = [
    ("Diaz", "diaz"),
    ("Oz", "oz"),
    ("Müller", "mueller"),
    ("佐藤", "sato"),
    ("O’Neill", "oneill"),
    ("Kowalski", "kowalski"),
    ("Øster", "oster"),
    ("Okafor", "okafor"),
    ("García-Ruiz", "garciaruiz"),
    ("Nguyễn", "nguyen"),
    ("Berg", "berg"),
    ("Ivanov", "ivanov"),
    ("Sharma", "sharma"),
    ("Rossi", "rossi"),
    ("Mensah", "mensah"),
    ("Lefèvre", "lefevre"),
    ("Haddad", "haddad"),
    ("Lind", "lind"),
    ("Costa", "costa"),
    ("Park", "park"),
];

/// First words of organizations.
const COMPANIES: [&str; 8] =
    ["Nimbus", "Aurora", "Cobalt", "Larkspur", "Meridian", "Perigee", "Saffron", "Tidewater"];
/// Names of workspaces; with a number once they are used up.
const WORKSPACES: [&str; 12] = [
    "Production",
    "Claude Code",
    "Staging",
    "Research",
    "Données & Analyse",
    "Support Bot",
    "Évaluations",
    "Data Platform",
    "Sandbox",
    "検証環境",
    "Mobile",
    "Security",
];
const KEYS: [&str; 10] = [
    "ci-deploy",
    "legacy",
    "me everywhere",
    "batch worker",
    "notebook",
    "support-bot",
    "évaluation nocturne",
    "claude_code_key",
    "load-test",
    "本番キー",
];

/// The name of an organization.
pub(super) fn organization(dice: &mut Dice) -> String {
    format!("{} Labs", dice.pick(&COMPANIES))
}

/// The name and the address of a person of that organization; `number` keeps the address unique.
pub(super) fn person(dice: &mut Dice, number: usize, organization: &str) -> (String, String) {
    let company = organization.split(' ').next().unwrap_or_default().to_lowercase();
    let (given, given_ascii) = dice.pick(&GIVEN);
    let (family, family_ascii) = dice.pick(&FAMILY);
    (format!("{given} {family}"), format!("{given_ascii}.{family_ascii}{number}@{company}.example"))
}

/// The name of the workspace of that number. Every 16th is again one that the API itself makes, so that names repeat.
pub(super) fn workspace(number: usize) -> String {
    if number % 16 == 15 {
        return "Claude Code".to_owned();
    }
    let name = WORKSPACES[number % WORKSPACES.len()];
    if number < WORKSPACES.len() {
        name.to_owned()
    } else {
        format!("{name} {}", number / WORKSPACES.len() + 1)
    }
}

/// The name of a key; names repeat.
pub(super) fn key(dice: &mut Dice) -> String {
    (*dice.pick(&KEYS)).to_owned()
}
