//! Rule files to answers: where did this run, whose is it, who is told. Compiling may fail with diagnostics;
//! after it nothing can be wrong, and tagging cannot fail.
