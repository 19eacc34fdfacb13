//! Says what happens, and when.

use std::time::Instant;

/// Tells the steps and counts those that came out wrong.
pub(super) struct Narrator {
    began: Instant,
    steps: usize,
    wrong: usize,
}

impl Narrator {
    /// The clock runs from here.
    pub(super) fn begin() -> Self {
        Self {
            began: Instant::now(),
            steps: 0,
            wrong: 0,
        }
    }

    /// A line between the steps.
    pub(super) fn say(line: &str) {
        println!("\n{line}");
    }

    /// A step: what it is, and how it came out. The error says what should have happened.
    pub(super) fn check(&mut self, step: &str, outcome: anyhow::Result<String>) {
        self.steps += 1;
        let secs = self.began.elapsed().as_secs_f64();
        match outcome {
            Ok(outcome) => println!("{secs:7.3} s  ok     {step}: {outcome}"),
            Err(error) => {
                self.wrong += 1;
                let error = crate::exit::one_line(&error);
                println!("{secs:7.3} s  WRONG  {step}: {error}");
            }
        }
    }

    /// Like [`Self::check`], for a step that the following ones need: its value, or the end.
    pub(super) fn need<T>(
        &mut self,
        step: &str,
        outcome: anyhow::Result<(T, String)>,
    ) -> anyhow::Result<T> {
        match outcome {
            Ok((value, outcome)) => {
                self.check(step, Ok(outcome));
                Ok(value)
            }
            Err(error) => Err(error.context(format!("{step} failed"))),
        }
    }

    /// The verdict: an error if any step came out wrong.
    pub(super) fn end(self) -> anyhow::Result<()> {
        let secs = self.began.elapsed().as_secs_f64();
        if self.wrong > 0 {
            return Err(anyhow::anyhow!(
                "{} of {} steps did not come out as they must",
                self.wrong,
                self.steps
            ));
        }
        println!();
        println!(
            "All {} steps came out as they must, in {secs:.1} s. Your own: symbolon init DIR",
            self.steps
        );
        Ok(())
    }
}
