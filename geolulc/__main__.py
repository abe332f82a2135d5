"""``python -m geolulc`` is the command ``geolulc``."""

from geolulc.cli import main

if __name__ == "__main__":
    main()
