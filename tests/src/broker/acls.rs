//! The `kafka-acls.sh` commands that the programs print, carried out: hundreds within a second, where the tool itself
//! starts a Java for each.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long the broker may take to answer, and to learn of what the controller has taken.
const BOUND: Duration = Duration::from_secs(30);
/// Pause between questions whether it has.
const PAUSE: Duration = Duration::from_millis(20);
/// The requests, by number and version (<https://kafka.apache.org/protocol>).
const DESCRIBE_ACLS: (i16, i16) = (29, 1);
const CREATE_ACLS: (i16, i16) = (30, 1);
/// The number of `ANY`, in each of a filter's fields.
const ANY: u8 = 1;
/// The number of `ALLOW`.
const ALLOW: u8 = 3;

/// One operation that a principal may carry out on a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// Who may, such as `User:ada`.
    pub principal: String,
    /// What, by Kafka's name.
    pub operation: String,
    /// The option that names the resource: `topic`, `group`, `transactional-id`.
    pub kind: String,
    /// The resource's name, or what it begins with.
    pub name: String,
    /// Whether it is what the name begins with.
    pub is_prefix: bool,
}

/// What a printed command grants.
///
/// # Errors
/// Where `kafka-acls.sh` has no such options, or this function does not know them.
pub fn parse(command: &str) -> Result<Vec<Acl>> {
    let mut words = command.split(' ');
    ensure!(words.next() == Some("kafka-acls.sh"), "another program: {command}");
    let (mut principal, mut operations, mut resource, mut is_prefix) = (None, Vec::new(), None, false);
    while let Some(option) = words.next() {
        if option == "--add" {
            continue;
        }
        let value = words.next().with_context(|| format!("{option} has no value: {command}"))?;
        ensure!(!value.contains(['\'', '"', '\\', '$']), "only a shell can read {value}: {command}");
        match option {
            "--bootstrap-server" => {}
            "--allow-principal" => principal = Some(value),
            "--operation" => operations.push(value),
            "--resource-pattern-type" if value == "prefixed" => is_prefix = true,
            "--topic" | "--group" | "--transactional-id" => resource = Some((&option[2..], value)),
            _ => bail!("an unknown option {option} {value}: {command}"),
        }
    }
    let principal = principal.with_context(|| format!("no principal: {command}"))?;
    let (kind, name) = resource.with_context(|| format!("no resource: {command}"))?;
    let acl = |operation: &str| Acl {
        principal: principal.to_owned(),
        operation: operation.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        is_prefix,
    };
    Ok(operations.into_iter().map(acl).collect())
}

/// Grants them all, and returns once the broker knows them.
pub fn create(bootstrap_server: &str, acls: &[Acl]) -> Result<()> {
    let mut body = Vec::new();
    length(&mut body, acls.len())?;
    for acl in acls {
        body.push(resource_type(&acl.kind)?);
        text(&mut body, &acl.name)?;
        body.push(if acl.is_prefix { 4 } else { 3 });
        text(&mut body, &acl.principal)?;
        text(&mut body, "*")?;
        body.push(operation(&acl.operation)?);
        body.push(ALLOW);
    }
    let mut answer = &*ask(bootstrap_server, CREATE_ACLS, &body)?;
    let _throttled = number(&mut answer)?;
    for acl in acls.iter().take(usize::try_from(number(&mut answer)?)?) {
        let (code, message) = (short(&mut answer)?, read_text(&mut answer)?);
        ensure!(code == 0, "{acl:?} is refused with {code}: {message}");
    }
    let deadline = Instant::now() + BOUND;
    while known(bootstrap_server, &acls[0].principal)? == 0
        || known(bootstrap_server, &acls[acls.len() - 1].principal)? == 0
    {
        ensure!(Instant::now() < deadline, "the broker does not learn of its ACLs");
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// How many resources the broker knows on which that principal may do something.
fn known(bootstrap_server: &str, principal: &str) -> Result<i32> {
    let mut body = vec![ANY, 0xff, 0xff, ANY];
    text(&mut body, principal)?;
    body.extend([0xff, 0xff, ANY, ANY]);
    let mut answer = &*ask(bootstrap_server, DESCRIBE_ACLS, &body)?;
    let _throttled = number(&mut answer)?;
    let (code, message) = (short(&mut answer)?, read_text(&mut answer)?);
    ensure!(code == 0, "the ACLs of {principal} cannot be seen ({code}): {message}");
    number(&mut answer)
}

fn resource_type(kind: &str) -> Result<u8> {
    Ok(match kind {
        "topic" => 2,
        "group" => 3,
        "transactional-id" => 5,
        _ => bail!("an unknown kind of resource: {kind}"),
    })
}

fn operation(name: &str) -> Result<u8> {
    Ok(match name {
        "Read" => 3,
        "Write" => 4,
        "Create" => 5,
        "Delete" => 6,
        "Describe" => 8,
        "DescribeConfigs" => 10,
        _ => bail!("an unknown operation: {name}"),
    })
}

/// The answer's body.
fn ask(bootstrap_server: &str, (request, version): (i16, i16), body: &[u8]) -> Result<Vec<u8>> {
    // Number, version, correlation id, client id.
    let header = [&request.to_be_bytes()[..], &version.to_be_bytes(), &[0; 4], &[0xff, 0xff]].concat();
    let mut message = Vec::new();
    length(&mut message, header.len() + body.len())?;
    message.extend(header);
    message.extend(body);
    let mut stream = TcpStream::connect(bootstrap_server)?;
    stream.set_read_timeout(Some(BOUND))?;
    stream.write_all(&message)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(size))?];
    stream.read_exact(&mut answer)?;
    ensure!(answer.len() >= 4, "an answer without a correlation id");
    Ok(answer.split_off(4))
}

fn length(bytes: &mut Vec<u8>, length: usize) -> Result<()> {
    bytes.extend(i32::try_from(length)?.to_be_bytes());
    Ok(())
}

fn text(bytes: &mut Vec<u8>, text: &str) -> Result<()> {
    bytes.extend(i16::try_from(text.len())?.to_be_bytes());
    bytes.extend(text.as_bytes());
    Ok(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk().context("the answer is too short")?;
    *bytes = rest;
    Ok(*taken)
}

fn number(bytes: &mut &[u8]) -> Result<i32> {
    Ok(i32::from_be_bytes(take(bytes)?))
}

fn short(bytes: &mut &[u8]) -> Result<i16> {
    Ok(i16::from_be_bytes(take(bytes)?))
}

/// Nothing, where the text is null.
fn read_text(bytes: &mut &[u8]) -> Result<String> {
    let length = usize::try_from(short(bytes)?).unwrap_or(0);
    ensure!(bytes.len() >= length, "the answer is too short");
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Acl, parse};

    #[test]
    fn a_printed_command_is_read_and_nothing_else() {
        let command = "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:graph --operation Read \
                       --operation Write --topic a. --resource-pattern-type prefixed";
        let acl = |operation: &str| Acl {
            principal: "User:graph".to_owned(),
            operation: operation.to_owned(),
            kind: "topic".to_owned(),
            name: "a.".to_owned(),
            is_prefix: true,
        };
        assert_eq!(parse(command).expect("a command"), [acl("Read"), acl("Write")]);
        for wrong in [
            "kafka-topics.sh --topic a",
            "kafka-acls.sh --add --allow-principal User:graph --operation Read --cluster a",
            "kafka-acls.sh --add --operation Read --topic a",
            "kafka-acls.sh --add --allow-principal 'User:two words' --operation Read --topic a",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
