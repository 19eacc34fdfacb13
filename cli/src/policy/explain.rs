//! `symbolon policy test` and `symbolon why`: which policy decides.

use super::{ShownPolicy, effect};
use crate::{
    clock,
    config::DirectoryArg,
    exit::usage,
    moment::Moment,
    output::{self, OutputArgs},
    registry,
};
use symbolon_ace_proto::Permission;
use symbolon_auth_server::store::{Considered, Explanation, Standing, Store, StoreError, Verdict};
use symbolon_mqtt_proto::TopicFilter;

/// What is asked about.
#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// The device's name
    client: String,
    /// The topic; with `--sub` a Topic Filter too
    topic: String,
    #[command(flatten)]
    directory: DirectoryArg,
    /// The broker, if not this configuration's
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    /// At which time: a date like 2026-12-01T00:00:00Z, or 30s, 15m, 12h, 30d from now (default: now)
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    #[command(flatten)]
    output: OutputArgs,
}

/// `symbolon policy test`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("permission").args(["publish", "subscribe"]).multiple(false)))]
pub(crate) struct TestArgs {
    #[command(flatten)]
    question: Question,
    /// May it publish? (default)
    #[arg(long = "pub")]
    publish: bool,
    /// May it subscribe?
    #[arg(long = "sub")]
    subscribe: bool,
}

/// `symbolon why`.
#[derive(Debug, clap::Args)]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    question: Question,
}

#[derive(serde::Serialize)]
struct Shown {
    client_id: String,
    topic: String,
    permission: &'static str,
    allowed: bool,
    decided_by: Option<i64>,
    policies: Vec<ShownStanding>,
}

#[derive(serde::Serialize)]
struct ShownStanding {
    #[serde(flatten)]
    policy: ShownPolicy,
    means: String,
    standing: &'static str,
    cut_by: Option<i64>,
}

/// The device may not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct MayNot(String);

impl TestArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let permission = if self.subscribe {
            Permission::Subscribe
        } else {
            Permission::Publish
        };
        let answers = self.question.ask(&[permission]).await?;
        if self.question.output.is_json() {
            output::print_json(&answers)?;
        } else {
            answers.iter().for_each(print_sentence);
        }
        match answers.iter().find(|answer| !answer.allowed) {
            None => Ok(()),
            Some(answer) => Err(MayNot(format!(
                "{} may not {} {}",
                answer.client_id,
                verb(answer.permission),
                answer.topic
            ))
            .into()),
        }
    }
}

impl WhyArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(async {
            let permissions: &[Permission] = if self.question.is_filter() {
                &[Permission::Subscribe]
            } else {
                &[Permission::Publish, Permission::Subscribe]
            };
            let answers = self.question.ask(permissions).await?;
            if self.question.output.is_json() {
                return output::print_json(&answers);
            }
            for answer in &answers {
                print_sentence(answer);
                print_standings(answer)?;
            }
            Ok(())
        })?
    }
}

impl Question {
    fn is_filter(&self) -> bool {
        self.topic.contains(['+', '#'])
    }

    async fn ask(&self, permissions: &[Permission]) -> anyhow::Result<Vec<Shown>> {
        let asked = TopicFilter::parse(&self.topic)
            .map_err(|error| usage(format!("{:?}: {error}", self.topic)))?;
        if self.is_filter() && permissions.contains(&Permission::Publish) {
            return Err(usage(
                "a topic to publish to has no wildcards; ask with --sub",
            ));
        }
        let settings = self.directory.settings()?;
        let audience = registry::audience(&settings, self.audience.clone())?;
        let store = registry::open(&settings).await?;
        if store.client(&self.client).await?.is_none() {
            return Err(StoreError::NotFound("client", self.client.clone()).into());
        }
        let mut answers = Vec::new();
        for permission in permissions {
            let explanation = self.explain(&store, &audience, *permission, &asked).await?;
            answers.push(self.shown(*permission, &explanation));
        }
        Ok(answers)
    }

    async fn explain(
        &self,
        store: &Store,
        audience: &str,
        permission: Permission,
        asked: &TopicFilter,
    ) -> anyhow::Result<Explanation> {
        let now = self.at.map_or_else(clock::now, |moment| moment.0);
        let explanation = store
            .explain((&self.client, audience), permission, asked, now)
            .await?;
        Ok(explanation)
    }

    fn shown(&self, permission: Permission, explanation: &Explanation) -> Shown {
        Shown {
            client_id: self.client.clone(),
            topic: self.topic.clone(),
            permission: match permission {
                Permission::Publish => "pub",
                Permission::Subscribe => "sub",
            },
            allowed: explanation.verdict.is_allowed(),
            decided_by: match explanation.verdict {
                Verdict::Allowed(id) | Verdict::Denied(id) => Some(id),
                Verdict::NoRule => None,
            },
            policies: explanation.considered.iter().map(standing).collect(),
        }
    }
}

fn standing(considered: &Considered) -> ShownStanding {
    ShownStanding {
        policy: ShownPolicy::from(&considered.policy),
        means: format!(
            "{} {}",
            effect(considered.policy.effect),
            considered.filter.as_str()
        ),
        standing: match considered.standing {
            Standing::Decides => "decides",
            Standing::Agrees => "agrees",
            Standing::Overruled => "overruled by the deny",
            Standing::InPart => "allows a part only",
            Standing::NotYet => "does not hold yet",
            Standing::Over => "is over",
        },
        cut_by: considered.cut_by,
    }
}

fn verb(permission: &str) -> &'static str {
    match permission {
        "sub" => "subscribe to",
        _ => "publish to",
    }
}

fn print_sentence(answer: &Shown) {
    let may = if answer.allowed { "may" } else { "may not" };
    let why = match (answer.decided_by, answer.allowed) {
        (Some(id), true) => format!("policy {id} allows it"),
        (Some(id), false) => format!("policy {id} denies it"),
        (None, _) => "no policy allows it".to_owned(),
    };
    println!(
        "{} {may} {} {}: {why}",
        answer.client_id,
        verb(answer.permission),
        answer.topic
    );
}

fn print_standings(answer: &Shown) -> anyhow::Result<()> {
    if answer.policies.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = answer
        .policies
        .iter()
        .map(|one| {
            let note = one.cut_by.map_or_else(String::new, |id| {
                format!("; policy {id} denies a part of it: ask for less than all")
            });
            vec![
                one.policy.id.to_string(),
                one.policy.group.clone().unwrap_or_default(),
                one.means.clone(),
                format!("{}{note}", one.standing),
            ]
        })
        .collect();
    output::print_table(&["ID", "GROUP", "SAYS", "AND"], &rows)?;
    println!();
    Ok(())
}
