//! `symbolon policy test` and `symbolon why`: which policy decides.

use crate::{
    administration::Place,
    exit::usage,
    moment::Moment,
    output::{self, OutputArgs},
};
use symbolon_auth_server::admin::model::{self, Explanation, Permission};
use symbolon_mqtt_proto::TopicFilter;

/// What is asked about.
#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// The device's name
    client: String,
    /// The topic; with `--sub` a Topic Filter too
    topic: String,
    #[command(flatten)]
    place: Place,
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

    async fn ask(&self, permissions: &[Permission]) -> anyhow::Result<Vec<Explanation>> {
        TopicFilter::parse(&self.topic)
            .map_err(|error| usage(format!("{:?}: {error}", self.topic)))?;
        if self.is_filter() && permissions.contains(&Permission::Publish) {
            return Err(usage(
                "a topic to publish to has no wildcards; ask with --sub",
            ));
        }
        let administration = self.place.open().await?;
        let audience = administration.audience(self.audience.clone()).await?;
        let mut answers = Vec::new();
        for permission in permissions {
            let question = model::Question {
                client: self.client.clone(),
                audience: audience.clone(),
                permission: *permission,
                filter: self.topic.clone(),
                at: self.at.map(|moment| moment.0.0),
            };
            answers.push(administration.why(&question).await?);
        }
        Ok(answers)
    }
}

fn verb(permission: Permission) -> &'static str {
    match permission {
        Permission::Subscribe => "subscribe to",
        Permission::Publish => "publish to",
    }
}

fn print_sentence(answer: &Explanation) {
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

fn print_standings(answer: &Explanation) -> anyhow::Result<()> {
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
