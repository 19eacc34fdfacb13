//! The disk becomes full under a broker at work: files may not grow beyond a limit of the process, and writing fails as on a disk without
//! space. What cannot be stored is refused, the rest goes on, and nothing acknowledged is lost.

#[cfg(test)]
mod filling;
