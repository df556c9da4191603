"""What a job may combine: methods, tasks, ZeRO stages, number formats and architectures. Pure; the one table that admission, the trainer and a page of the docs share."""
