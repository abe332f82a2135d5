{#
The style of one band of a raster; ``qgis_styles.py`` fills it in. ``ramp`` is "" for codes.
Without rampLegendSettings, the legend of a gradient would show two numbers in place of its labels.
#}
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="AllStyleCategories">
  <pipe>
    <rasterrenderer type="{{ "singlebandpseudocolor" if ramp else "paletted" }}" band="{{ band }}" opacity="1" alphaBand="-1" nodataColor=""{{ ' classificationMin="%s" classificationMax="%s"'|safe|format(low, high) if ramp }}>
      <rasterTransparency />
      <minMaxOrigin>
        <limits>None</limits>
      </minMaxOrigin>
      {% if ramp %}
      <rastershader>
        <colorrampshader colorRampType="{{ ramp }}" classificationMode="1" clip="0" minimumValue="{{ low }}" maximumValue="{{ high }}">
          {% for entry in entries %}
          <item value="{{ entry.number }}" label="{{ entry.label }}" color="{{ entry.color }}" alpha="255" />
          {% endfor %}
          <rampLegendSettings useContinuousLegend="0" />
        </colorrampshader>
      </rastershader>
      {% else %}
      <colorPalette>
        {% for entry in entries %}
        <paletteEntry value="{{ entry.number }}" label="{{ entry.label }}" color="{{ entry.color }}" alpha="255" />
        {% endfor %}
      </colorPalette>
      {% endif %}
    </rasterrenderer>
    <brightnesscontrast brightness="0" contrast="0" gamma="1" />
    <rasterresampler maxOversampling="2" />
  </pipe>
  <blendMode>0</blendMode>
</qgis>
