//! The PWM of a Raspberry Pi, through `rppal`: the GPIO character device has none.

#[cfg(all(target_os = "linux", any(target_arch = "aarch64", target_arch = "arm")))]
mod board {
    use rppal::pwm::{Channel, Polarity, Pwm};

    use crate::config::PwmConfig;
    use crate::line::{LineError, PwmLine};

    #[derive(Debug)]
    struct PiPwm {
        pwm: Pwm,
        channel: u8,
    }

    /// Takes a channel. `rppal` switches it off for a moment, which is why it is only taken to be
    /// set.
    pub(crate) fn pwm(config: &PwmConfig, duty: f64) -> Result<Box<dyn PwmLine>, LineError> {
        let channel = match config.channel {
            0 => Channel::Pwm0,
            1 => Channel::Pwm1,
            2 => Channel::Pwm2,
            _ => Channel::Pwm3,
        };
        let opened = Pwm::with_frequency(
            channel,
            f64::from(config.frequency),
            duty,
            Polarity::Normal,
            true,
        );
        let mut pwm = opened.map_err(|error| {
            LineError(format!(
                "PWM channel {}: {error}; is there `dtoverlay=pwm-2chan` in config.txt?",
                config.channel
            ))
        })?;
        // It goes on when we end: the mapping's `safe` has been set before.
        pwm.set_reset_on_drop(false);
        Ok(Box::new(PiPwm {
            pwm,
            channel: config.channel,
        }))
    }

    impl PwmLine for PiPwm {
        fn set(&mut self, duty: f64) -> Result<(), LineError> {
            let set = self.pwm.set_duty_cycle(duty);
            set.map_err(|error| LineError(format!("PWM channel {}: {error}", self.channel)))
        }
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "aarch64", target_arch = "arm"))))]
mod board {
    use crate::config::PwmConfig;
    use crate::line::{LineError, PwmLine};

    /// There is none.
    pub(crate) fn pwm(config: &PwmConfig, _duty: f64) -> Result<Box<dyn PwmLine>, LineError> {
        Err(LineError(format!(
            "PWM channel {}: only a Raspberry Pi has PWM here",
            config.channel
        )))
    }
}

pub(crate) use board::pwm;
