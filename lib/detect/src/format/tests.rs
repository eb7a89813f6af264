mod injection;
mod writers;
