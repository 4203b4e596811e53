"""`python -m embedhub` is the command `embedhub`."""

from embedhub.cli.app import main

if __name__ == "__main__":
    main()
