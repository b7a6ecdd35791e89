//! Reading the topics: `changes` into the store, `graph`, `sync` and `deadletters` into what is known of now.

mod follow;
mod history;
mod now;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock, RwLock},
    thread,
};

use anyhow::{Context as _, anyhow};
use rdkafka::ClientConfig;
use schemas::topics::Topic;
use service::{
    config::{Config, environment},
    exit::{Outcome, UsageError},
    kafka::{client_config, cluster_admin::ClusterAdmin, decision},
    schema_registry::register_unless,
    shutdown::CancellationToken,
};
use tokio::net::TcpListener;
use tracing::info;

use crate::{
    access_control::{AccessControl, Assertions, Write},
    current_state::CurrentState,
    pages::Sources,
    progress::Progress,
    server,
    store::{Store, StoreError, Writer},
};

/// What a topic is read with.
#[derive(Debug, Clone)]
struct Reading {
    client: ClientConfig,
    /// The consumer group that is named. Nothing is committed, and the group has no members.
    group_id: String,
    topic_prefix: String,
    shutdown: CancellationToken,
    progress: Arc<Progress>,
}

/// Serves the pages, and reads, until the end is asked for.
pub async fn console(config: Config, asked: CancellationToken) -> anyhow::Result<Outcome> {
    let console = Console::open(&config).await?;
    service::stdout::print([format!("the console is at {}", console.url())])?;
    console.serve(asked).await
}

/// A console that has its address and its store.
#[derive(Debug)]
pub struct Console {
    listener: TcpListener,
    address: SocketAddr,
    store: Store,
    writer: Writer,
    client: ClientConfig,
    config: Config,
    access_control: AccessControl,
}

impl Console {
    /// Takes the address and opens the store. A [`UsageError`]: another process has one of them.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let address = config.console.listen;
        let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => anyhow::Error::new(UsageError(format!(
                "another process listens on {address}; set console.listen to another address"
            ))),
            _ => anyhow::Error::new(error).context(format!("cannot listen on {address} (console.listen)")),
        })?;
        let address = listener.local_addr().context("cannot determine the address")?;
        let path = store_path(config, &environment())?;
        let topic = Topic::Changes.name(&config.kafka.topic_prefix);
        let (store, writer) = Store::open(&path, &topic).map_err(|error| match error {
            StoreError::Taken(_) => anyhow::Error::new(UsageError(error.to_string())),
            other => other.into(),
        })?;
        let client = client_config(&config.kafka, &environment())?;
        info!(%address, store = %path.display(), "the console listens");
        let access_control = access_control(config)?;
        Ok(Self { listener, address, store, writer, client, config: config.clone(), access_control })
    }

    /// Where its pages are.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves the pages, and reads, until the end is asked for.
    pub async fn serve(self, asked: CancellationToken) -> anyhow::Result<Outcome> {
        // A thread that fails ends the process, which then says why.
        let shutdown = asked.child_token();
        let progress = Arc::new(Progress::default());
        let topic_prefix = self.config.kafka.topic_prefix.clone();
        let reading = Reading {
            client: self.client.clone(),
            group_id: format!("{topic_prefix}.tail"),
            topic_prefix,
            shutdown: shutdown.clone(),
            progress: Arc::clone(&progress),
        };
        let present = Arc::new(RwLock::new(CurrentState::default()));
        let configured = self.config.organizations.clone().into();
        let decisions = tokio::spawn(open_decisions(
            self.config,
            self.client,
            Arc::clone(&self.access_control.write),
            Arc::clone(&progress),
            shutdown.clone(),
        ));
        let sources =
            Sources { store: self.store, present: Arc::clone(&present), progress, configured, now_ms };
        let readers = read(reading, self.writer, present);
        server::serve(self.listener, sources, self.access_control, shutdown)
            .await
            .context("cannot serve the pages")?;
        tokio::task::spawn_blocking(readers).await.context("the reading threads ended")??;
        decisions.await.context("the task that lets deciders decide ended")??;
        Ok(Outcome::Done)
    }
}

/// Who may see the pages. Without `console.auth`, everyone may.
fn access_control(config: &Config) -> anyhow::Result<AccessControl> {
    let Some(auth) = &config.console.auth else { return Ok(AccessControl::default()) };
    let assertions = Assertions::new(auth.clone(), config.http.root_certificate.as_deref())?;
    Ok(AccessControl { assertions: Some(Arc::new(assertions)), ..AccessControl::default() })
}

/// Lets deciders decide, if `console.auth` has any, once the schema registry has the schemas. The pages are there before.
async fn open_decisions(
    config: Config,
    mut client: ClientConfig,
    write: Arc<OnceLock<Arc<Write>>>,
    progress: Arc<Progress>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    if config.console.auth.as_ref().is_none_or(|auth| auth.deciders.is_empty()) {
        return Ok(());
    }
    let prefix = config.kafka.topic_prefix.clone();
    let patience = Some((&progress.decisions, &shutdown));
    let registered = register_unless(&config, &environment(), &[Topic::Raw], &mut client, patience).await;
    if registered.inspect_err(|_| shutdown.cancel())? {
        let writes: Arc<Write> = Arc::new(move |record| Ok(decision::write(&client, &prefix, record)?));
        drop(write.set(writes));
    }
    Ok(())
}

/// Starts the threads; what is returned waits for them, and says why one failed.
fn read(
    reading: Reading,
    writer: Writer,
    present: Arc<RwLock<CurrentState>>,
) -> impl FnOnce() -> anyhow::Result<()> + Send + 'static {
    // Whichever ends first ends the other, and the server.
    let history = thread::spawn({
        let reading = reading.clone();
        move || {
            let _ended = reading.shutdown.clone().drop_guard();
            history::read(&reading, writer)
        }
    });
    let now = thread::spawn(move || {
        let _ended = reading.shutdown.clone().drop_guard();
        now::read(&reading, &present);
    });
    move || {
        let panicked = |_| anyhow!("a reading thread panicked");
        let (history, now) = (history.join().map_err(panicked), now.join().map_err(panicked));
        history?.and(now)
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The file of the store: `console.store`, else one for each prefix in the user's cache folder.
fn store_path(config: &Config, environment: &BTreeMap<String, String>) -> Result<PathBuf, UsageError> {
    if let Some(path) = &config.console.store {
        return Ok(path.clone());
    }
    let folder =
        |name: &str| environment.get(name).filter(|folder| folder.starts_with('/')).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    let cache = cache.ok_or_else(|| {
        UsageError("console.store: is missing, and there is no HOME; write the path of a file".to_owned())
    })?;
    Ok(cache.join("anthropic-graph").join(format!("console-{}.sqlite", config.kafka.topic_prefix)))
}

impl Reading {
    fn topic(&self, topic: Topic) -> String {
        topic.name(&self.topic_prefix)
    }

    /// How many partitions a topic has; `None`: the topic does not exist.
    fn partition_count(&self, topic: &str) -> anyhow::Result<Option<i32>> {
        Ok(ClusterAdmin::new(&self.client)?.partition_count(topic)?)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use service::config::Config;

    use super::store_path;

    #[test]
    fn the_store_is_where_it_is_said_or_in_the_cache_folder() {
        let path = |lines: &str, variables: &[(&str, &str)]| {
            let text = format!("kafka.bootstrap_servers = \"b:9092\"\nkafka.topic_prefix = \"p\"\n{lines}");
            let config = Config::from_toml(&text, Path::new("/etc"), &BTreeMap::new()).expect("it is right");
            let environment =
                variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            store_path(&config, &environment)
                .map(|path| path.display().to_string())
                .map_err(|error| error.to_string())
        };
        let in_cache = "/home/ada/.cache/anthropic-graph/console-p.sqlite".to_owned();
        assert_eq!(path("", &[("HOME", "/home/ada")]), Ok(in_cache));
        let elsewhere = "/var/cache/anthropic-graph/console-p.sqlite".to_owned();
        assert_eq!(path("", &[("HOME", "/home/ada"), ("XDG_CACHE_HOME", "/var/cache")]), Ok(elsewhere));
        assert_eq!(path("console.store = \"s.sqlite\"", &[]), Ok("/etc/s.sqlite".to_owned()));
        assert!(path("", &[]).is_err_and(|error| error.starts_with("console.store")));
    }
}
