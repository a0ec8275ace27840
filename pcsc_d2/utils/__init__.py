"""What every package may use: files that appear whole, progress, iterators that run ahead."""
