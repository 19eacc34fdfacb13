//! `symbolon demo`: everything real, in one process and a temporary directory.
//!
//! | module | holds |
//! |---|---|
//! | [`stage`] | servers and devices |
//! | [`story`] | the steps, each with what must come of it |
//! | [`narrator`] | says each step with its time, and remembers whether all came out as they must |

mod narrator;
mod stage;
mod story;

use narrator::Narrator;
use stage::Stage;

/// `symbolon demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {}

impl DemoArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self {} = self;
        crate::serve::server_runtime()?.block_on(perform())
    }
}

async fn perform() -> anyhow::Result<()> {
    let mut narrator = Narrator::begin();
    Narrator::say(
        "A symbolon was a token broken in two: whoever held the other half proved who they were.",
    );
    let stage = Stage::set(&mut narrator).await?;
    let told = Box::pin(story::tell(&stage, &mut narrator)).await;
    let stopped = stage.clear().await;
    told?;
    narrator.check(
        "the servers end",
        stopped.map(|()| "clients were told".to_owned()),
    );
    narrator.end()
}
