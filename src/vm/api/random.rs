//! `math.random` and `math.randomseed` with the generator Redis uses.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::register::register;
use crate::vm::native::{NativeResult, Raised, Stack};

register!(LUA_API: RANDOM: ApiSpec = ApiSpec {
    table: "math",
    name: "random",
    signature: "math.random(): number or \
        math.random(high: integer): integer or \
        math.random(low: integer, high: integer): integer",
    summary: "Returns a pseudo-random number: in [0,1), an integer in [1,high], or in [low,high].",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(random)),
});
register!(LUA_API: RANDOMSEED: ApiSpec = ApiSpec {
    table: "math",
    name: "randomseed",
    signature: "math.randomseed(seed: integer)",
    summary: "Starts the sequence of math.random for an integer seed; it goes on across runs.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(randomseed)),
});

fn random(stack: &mut Stack<'_>) -> NativeResult {
    let unit = stack.shared().random.unit();
    let value = match stack.top() {
        0 => unit,
        1 => {
            let high = integer(stack, 1)?;
            if high < 1 {
                return stack.raise_argument(1, b"interval is empty");
            }
            (unit * f64::from(high)).floor() + 1.0
        }
        2 => {
            let low = integer(stack, 1)?;
            let high = integer(stack, 2)?;
            if low > high {
                return stack.raise_argument(2, b"interval is empty");
            }
            // The width is computed in 32 bits, as on stock.
            let width = high.wrapping_sub(low).wrapping_add(1);
            (unit * f64::from(width)).floor() + f64::from(low)
        }
        _ => return stack.raise(b"wrong number of arguments"),
    };
    stack.push_number(value);
    Ok(1)
}

fn randomseed(stack: &mut Stack<'_>) -> NativeResult {
    let seed = integer(stack, 1)?;
    stack.shared().random.seed(seed);
    Ok(0)
}

/// The argument at `position` as a C `int`: as Lua does it, the low half of a long.
fn integer(stack: &mut Stack<'_>, position: i32) -> Result<i32, Raised> {
    Ok(stack.integer_argument(position)? as i32)
}
